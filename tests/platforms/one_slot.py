"""A real server with one slot: llama.cpp's own, with a tiny model of random weights. `python one_slot.py FILE PORT`."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen

import gguf
import httpx
import numpy as np
import xllamacpp  # type: ignore[import-untyped]  # a wheel without types

from tests.waiting import eventually, free_port

WIDTH, DEEP, HEADS, LAYERS = 64, 128, 4, 2
#: Size of the context: an answer that is longer continues by shifting it.
CONTEXT = 2048


@contextmanager
def one_slot(folder: Path) -> Iterator[tuple[Popen[bytes], str]]:
    """Start the process; yield the URL of its API."""
    model, port = folder / "tiny.gguf", free_port()
    write_model(model)
    url = f"http://127.0.0.1:{port}/v1"
    command = [sys.executable, "-m", "tests.platforms.one_slot", str(model), str(port)]
    with Popen(command, stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            eventually(lambda: _answers(process, url), "the server's first answer", 120)
            yield process, url
        finally:
            process.kill()


def _answers(process: Popen[bytes], url: str) -> bool:
    assert process.poll() is None, "the server has ended"
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/models", timeout=5).status_code == 200
    return False


def write_model(path: Path) -> None:
    """Write a model with bytes as its vocabulary, so that it can produce any text; half a megabyte."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581"]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(DEEP)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([*kinds, gguf.TokenType.NORMAL])
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    _add_weights(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_weights(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    dice = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        weights = dice.normal(0, 0.05, shape) if len(shape) > 1 else np.ones(shape)
        writer.add_tensor(f"{name}.weight", weights.astype(np.float32))

    add("token_embd", vocabulary, WIDTH)
    add("output", vocabulary, WIDTH)
    add("output_norm", WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}", WIDTH, WIDTH)
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{name}", WIDTH)
        add(f"blk.{layer}.ffn_gate", DEEP, WIDTH)
        add(f"blk.{layer}.ffn_up", DEEP, WIDTH)
        add(f"blk.{layer}.ffn_down", WIDTH, DEEP)


def serve(model: str, port: int) -> None:
    """Serve until killed, on one thread."""
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = 1
    params.n_ctx = CONTEXT
    params.ctx_shift = True
    params.warmup = False
    params.fit_params = False
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    while server.listening_address:
        time.sleep(3600)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
