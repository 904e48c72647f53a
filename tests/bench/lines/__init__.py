"""One file for each line, or group of lines, of the table; each has `measure`, which returns its figures."""
