"""Real answers of servers with status 200: one row each, with its published source."""

from dataclasses import dataclass
from typing import Any

from orchestrator.rules.values import Verdict

ALIVE, TRANSIENT, MISCONFIGURED = Verdict.ALIVE, Verdict.TRANSIENT, Verdict.MISCONFIGURED


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """One answer. `source`: the schema or the issue in which it was published."""

    server: str
    what: str
    body: Any
    verdict: Verdict
    source: str

    def __str__(self) -> str:
        return f"{self.server}: {self.what}"


def usage(completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": 9, "completion_tokens": completion, "total_tokens": 9 + completion, **more}


def choice(message: Any, finish_reason: Any = "length", **more: Any) -> dict[str, Any]:
    return {"index": 0, "message": message, "finish_reason": finish_reason, **more}


def completion(*choices: Any, **more: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1764000000, "model": "m"}
    return {**head, "choices": list(choices), "usage": usage(16), **more}


CHAT = (
    Known(
        server="OpenAI",
        what="a word, and the limit",
        body=completion(
            choice(
                {"role": "assistant", "content": "Pong", "refusal": None, "annotations": []}, logprobs=None
            ),
            service_tier="default",
            system_fingerprint=None,
        ),
        verdict=ALIVE,
        source="openai/openai-openapi CreateChatCompletionResponse",
    ),
    Known(
        server="OpenAI",
        what="all tokens went to thought",
        body=completion(
            choice({"role": "assistant", "content": ""}),
            usage=usage(16, completion_tokens_details={"reasoning_tokens": 16}),
        ),
        verdict=ALIVE,
        source="platform.openai.com/docs/guides/reasoning",
    ),
    Known(
        server="OpenAI",
        what="a refusal is an answer",
        body=completion(choice({"role": "assistant", "content": None, "refusal": "No."}, "stop")),
        verdict=ALIVE,
        source="openai/openai-openapi ChatCompletionResponseMessage",
    ),
    Known(
        server="Azure OpenAI",
        what="a filter has spoken",
        body=completion(choice({"role": "assistant"}, "content_filter", content_filter_results={})),
        verdict=ALIVE,
        source="learn.microsoft.com/azure/ai-services/openai/reference",
    ),
    Known(
        server="vLLM",
        what="a reasoning parser has taken all",
        body=completion(
            choice(
                {"role": "assistant", "content": None, "reasoning_content": "Okay", "tool_calls": []},
                stop_reason=None,
            ),
            prompt_logprobs=None,
            kv_transfer_params=None,
        ),
        verdict=ALIVE,
        source="vllm-project/vllm ChatCompletionResponse",
    ),
    Known(
        server="vLLM",
        what="the request failed inside the engine",
        body=completion(choice({"role": "assistant", "content": ""}, "error")),
        verdict=TRANSIENT,
        source="vllm-project/vllm FinishReason.ERROR",
    ),
    Known(
        server="SGLang",
        what="an answer",
        body=completion(
            choice({"role": "assistant", "content": "Hi", "tool_calls": None}, matched_stop=None),
            metadata={"weight_version": "default"},
        ),
        verdict=ALIVE,
        source="sgl-project/sglang ChatCompletionResponse",
    ),
    Known(
        server="TGI",
        what="an answer",
        body=completion(choice({"role": "assistant", "content": "Hi"}), system_fingerprint="3.3.5-native"),
        verdict=ALIVE,
        source="huggingface/text-generation-inference docs/openapi.json",
    ),
    Known(
        server="llama.cpp",
        what="an answer with its timings",
        body=completion(
            choice({"role": "assistant", "content": "Hi"}), timings={"predicted_n": 16, "prompt_ms": 9.4}
        ),
        verdict=ALIVE,
        source="ggml-org/llama.cpp tools/server/README.md",
    ),
    Known(
        server="llama-cpp-python",
        what="an answer",
        body=completion(choice({"role": "assistant", "content": " Hi"}, logprobs=None)),
        verdict=ALIVE,
        source="abetlen/llama-cpp-python CreateChatCompletionResponse",
    ),
    Known(
        server="Ollama",
        what="a thinking model",
        body=completion(choice({"role": "assistant", "content": "", "reasoning": "Okay, so"})),
        verdict=ALIVE,
        source="ollama/ollama openai/openai.go",
    ),
    Known(
        server="LM Studio",
        what="an answer",
        body=completion(choice({"role": "assistant", "content": "Hi"}, logprobs=None), stats={}),
        verdict=ALIVE,
        source="lmstudio.ai/docs/app/api/endpoints/openai",
    ),
    Known(
        server="LocalAI",
        what="a choice without an end",
        body=completion(choice({"role": "assistant", "content": "Hi"}, "")),
        verdict=ALIVE,
        source="mudler/LocalAI core/schema/openai.go",
    ),
    Known(
        server="TensorRT-LLM",
        what="an answer",
        body=completion(
            choice(
                {"role": "assistant", "content": "Hi", "reasoning_content": None}, disaggregated_params=None
            )
        ),
        verdict=ALIVE,
        source="NVIDIA/TensorRT-LLM openai_protocol.py",
    ),
    Known(
        server="NIM",
        what="an answer",
        body=completion(
            choice({"role": "assistant", "content": "Hi"}, stop_reason=None), prompt_logprobs=None
        ),
        verdict=ALIVE,
        source="docs.nvidia.com/nim/large-language-models",
    ),
    Known(
        server="LiteLLM",
        what="a thinking model at its limit, without a choice",
        body=completion(usage=usage(16)),
        verdict=ALIVE,
        source="BerriAI/litellm#36881",
    ),
    Known(
        server="LiteLLM",
        what="no choice and no token",
        body=completion(usage=usage(0)),
        verdict=TRANSIENT,
        source="BerriAI/litellm ModelResponse",
    ),
    Known(
        server="Gemini",
        what="no message at the limit of thought",
        body=completion(choice({"role": "assistant"})),
        verdict=ALIVE,
        source="ai.google.dev/gemini-api/docs/openai",
    ),
    Known(
        server="OpenRouter",
        what="its upstream failed",
        body=completion(
            choice(
                {"role": "assistant", "content": ""},
                "error",
                error={"code": 502, "message": "Upstream error from Provider: ERROR"},
                native_finish_reason=None,
            )
        ),
        verdict=TRANSIENT,
        source="openrouter.ai/docs/api/reference/errors-and-debugging",
    ),
    Known(
        server="OpenRouter",
        what="its upstream limits the rate",
        body=completion(
            {"error": {"code": 429, "message": "Provider returned error"}, "finish_reason": "error"}
        ),
        verdict=Verdict.THROTTLED,
        source="openrouter.ai/docs/api/reference/errors-and-debugging",
    ),
    Known(
        server="OpenRouter",
        what="an error in place of choices",
        body={"error": {"code": 402, "message": "Insufficient credits"}, "user_id": "u"},
        verdict=Verdict.OUT_OF_BALANCE,
        source="openrouter.ai/docs/api/reference/errors-and-debugging",
    ),
    Known(
        server="a legacy completion",
        what="a text",
        body=completion({"index": 0, "text": "", "finish_reason": "length"}, object="text_completion"),
        verdict=ALIVE,
        source="openai/openai-openapi CreateCompletionResponse",
    ),
    Known(
        server="a stream",
        what="a delta",
        body={"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant"}}]},
        verdict=ALIVE,
        source="openai/openai-openapi CreateChatCompletionStreamResponse",
    ),
    *(
        Known(server="no server", what=repr(choices), body={"choices": choices}, verdict=said, source="none")
        for choices, said in (
            ("no", MISCONFIGURED),
            (True, MISCONFIGURED),
            (False, MISCONFIGURED),
            (1, MISCONFIGURED),
            ({}, MISCONFIGURED),
            ({"0": {"message": {}}}, MISCONFIGURED),
            ([None], MISCONFIGURED),
            ([[]], MISCONFIGURED),
            ([{}], MISCONFIGURED),
            (["text"], MISCONFIGURED),
            ([{"message": None}], MISCONFIGURED),
            ([{"message": "text"}], MISCONFIGURED),
            ([{"text": None, "delta": []}], MISCONFIGURED),
            ([{"error": {"message": "no"}, "finish_reason": "error"}], TRANSIENT),
            ([{"message": {"content": "Hi"}, "error": {"message": "no"}}], TRANSIENT),
            ([], TRANSIENT),
            (None, TRANSIENT),
        )
    ),
    *(
        Known(
            server="no server",
            what=f"no choice, and {spent!r} tokens",
            body={"choices": [], "usage": spent},
            verdict=TRANSIENT,
            source="none",
        )
        for spent in (
            None,
            3,
            {},
            {"completion_tokens": True},
            {"completion_tokens": "3"},
            {"completion_tokens": -1},
        )
    ),
)

_WITHOUT_TEXT: tuple[Any, ...] = (
    {},
    {"text": None},
    {"text": ["Hi"]},
    [],
    None,
    "Hi",
    3,
    {"status": "ok"},
    {"choices": []},
)

SPEECH = (
    Known(
        server="OpenAI",
        what="words",
        body={"text": "Ping.", "usage": {"type": "tokens", "total_tokens": 12}},
        verdict=ALIVE,
        source="openai/openai-openapi CreateTranscriptionResponseJson",
    ),
    Known(
        server="vLLM",
        what="silence",
        body={"text": "", "usage": {"type": "duration", "seconds": 1}},
        verdict=ALIVE,
        source="vllm-project/vllm TranscriptionResponse",
    ),
    Known(
        server="whisper.cpp",
        what="silence, as it writes it",
        body={"text": " [BLANK_AUDIO]\n"},
        verdict=ALIVE,
        source="ggml-org/whisper.cpp examples/server/README.md",
    ),
    Known(
        server="speaches",
        what="words with their times",
        body={
            "task": "transcribe",
            "language": "en",
            "duration": 0.2,
            "text": "",
            "segments": [],
            "words": None,
        },
        verdict=ALIVE,
        source="openai/openai-openapi CreateTranscriptionResponseVerboseJson",
    ),
    *(
        Known(server="no server", what=repr(said), body=said, verdict=MISCONFIGURED, source="none")
        for said in _WITHOUT_TEXT
    ),
    Known(
        server="no server",
        what="an error beside the text",
        body={"text": "", "error": {"message": "no"}},
        verdict=TRANSIENT,
        source="none",
    ),
)
