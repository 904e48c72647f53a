"""Tests, in families (`tests.families`), and the three worlds that they play in.

* `in_process.InProcessWorld`: one worker in this process, time moved by hand, upstreams and drivers as chosen.
  `world.World` is small, `platforms.world.PlatformWorld` has every platform, `money.stage.Stage` has no network.
* `processes.platform.Platform`: real processes and servers; `chaos.cluster.Cluster` puts proxies between them.
* `simulation.universe.Universe`: many workers, users and faults under one virtual clock.

`upstreams.Upstream` describes a provider of the first and the third; `jobs.JobSender` sends jobs for the first two."""
