"""Real answers of servers and gateways instead of a completion: one row each, with its published source.

Situations: an unknown model, a bad key, no credit, overload, loading, and answers that only look like one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.rules.values import Verdict

GONE, CREDENTIALS, BROKE = Verdict.GONE, Verdict.CREDENTIALS, Verdict.OUT_OF_BALANCE
THROTTLED, LOADING = Verdict.THROTTLED, Verdict.LOADING
TRANSIENT, MISCONFIGURED = Verdict.TRANSIENT, Verdict.MISCONFIGURED


@dataclass(frozen=True, slots=True)
class KnownError:
    """One answer. `source`: the code, documentation or issue that has it."""

    server: str
    what: str
    status: int
    body: Any
    verdict: Verdict
    source: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.server}: {self.what}"


def error(message: str, kind: Any = None, code: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def flat(message: str, kind: str, code: int) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


ROUTE = "Call `/v1/models` to view available models for your key."
INVALID = "invalid_request_error"

_OPENAI = "platform.openai.com/docs/guides/error-codes"
_VLLM = "vllm-project/vllm entrypoints/openai"
_LITELLM = "BerriAI/litellm proxy"
_OLLAMA = "ollama/ollama server/routes.go, sched.go"
_LLAMA = "ggml-org/llama.cpp tools/server"
_ROUTER = "openrouter.ai/docs/api/reference/errors-and-debugging"
_GROQ = "console.groq.com/docs/errors"
_MISTRAL = "mistralai/client-python issues"
_GEMINI = "ai.google.dev/gemini-api/docs/troubleshooting"
_TOGETHER = "docs.together.ai/docs/error-codes"
_FIREWORKS = "docs.fireworks.ai/guides/inference-error-codes"
_DEEPSEEK = "api-docs.deepseek.com/quick_start/error_codes"
_NIM = "docs.nvidia.com/nim, forums.developer.nvidia.com"
_LMSTUDIO = "lmstudio-ai/lmstudio-bug-tracker"
_LOCALAI = "mudler/LocalAI core/http"
_HF = "huggingface/text-generation-inference, huggingface.co/docs/inference-providers"

UNKNOWN_MODEL = (
    KnownError(
        "OpenAI",
        "unknown model",
        404,
        error("The model `x` does not exist or you do not have access to it.", INVALID, "model_not_found"),
        GONE,
        _OPENAI,
    ),
    KnownError(
        "vLLM",
        "unknown model",
        404,
        error("The model `x` does not exist.", "NotFoundError", 404),
        GONE,
        _VLLM,
    ),
    KnownError(
        "vLLM",
        "unknown model, until 0.10",
        404,
        flat("The model `x` does not exist.", "NotFoundError", 404),
        GONE,
        "vllm-project/vllm#3485",
    ),
    KnownError(
        "NIM", "unknown model", 404, flat("The model `x` does not exist.", "NotFoundError", 404), GONE, _NIM
    ),
    KnownError(
        "Ollama",
        "unknown model",
        404,
        error('model "x" not found, try pulling it first', "api_error"),
        GONE,
        _OLLAMA,
    ),
    KnownError(
        "Ollama", "unknown model, newer", 404, error("model 'x' not found", "not_found_error"), GONE, _OLLAMA
    ),
    KnownError(
        "LM Studio",
        "unknown model",
        404,
        error('Model "x" not found', INVALID, "model_not_found"),
        GONE,
        _LMSTUDIO,
    ),
    KnownError(
        "LocalAI",
        "unknown model",
        404,
        error('model "x" not found. To see available models, call GET /v1/models', INVALID, 404),
        GONE,
        _LOCALAI,
    ),
    KnownError(
        "LiteLLM",
        "unknown model",
        400,
        error(f"/chat/completions: Invalid model name passed in model=x. {ROUTE}", "None", "400"),
        GONE,
        "BerriAI/litellm#9663",
    ),
    KnownError(
        "LiteLLM",
        "unknown model, 2024",
        400,
        error("400: {'error': 'Invalid model name passed in model=Lite-GPT-12'}", "None", 400),
        GONE,
        "BerriAI/litellm#3142",
    ),
    KnownError(
        "LiteLLM",
        "a deployment's upstream does not know the model",
        404,
        error(
            "litellm.NotFoundError: NotFoundError: OpenAIException - The model `x` does not exist.",
            None,
            "404",
        ),
        GONE,
        _LITELLM,
    ),
    KnownError(
        "LiteLLM",
        "its router does not know the model",
        400,
        error(
            "litellm.BadRequestError: You passed in model=x. There is no 'model_name' with this string",
            None,
            "400",
        ),
        GONE,
        "BerriAI/litellm router.py",
    ),
    KnownError(
        "OpenRouter", "unknown model", 400, error("x/y is not a valid model ID", None, 400), GONE, _ROUTER
    ),
    KnownError(
        "Groq",
        "a model that was taken away",
        400,
        error(
            "The model `x` has been decommissioned and is no longer supported.",
            INVALID,
            "model_decommissioned",
        ),
        GONE,
        _GROQ,
    ),
    KnownError(
        "Together",
        "unknown model, or its endpoint was stopped",
        404,
        error(
            "Unable to access model x. Please visit https://api.together.ai/models for the list.",
            INVALID,
            "model_not_available",
        ),
        GONE,
        _TOGETHER,
    ),
    KnownError(
        "Fireworks",
        "unknown model",
        404,
        error("Model not found, inaccessible, and/or not deployed", INVALID, "NOT_FOUND"),
        GONE,
        _FIREWORKS,
    ),
    KnownError("DeepSeek", "unknown model", 400, error("Model Not Exist", INVALID, INVALID), GONE, _DEEPSEEK),
    KnownError(
        "Mistral", "unknown model", 400, flat("Invalid model: x", "invalid_model", 1500), GONE, _MISTRAL
    ),
    KnownError(
        "Gemini",
        "unknown model",
        404,
        [
            {
                "error": {
                    "code": 404,
                    "message": "models/x is not found for API version v1main, or is not supported for generateContent.",
                    "status": "NOT_FOUND",
                }
            }
        ],
        GONE,
        _GEMINI,
    ),
    KnownError(
        "xAI",
        "unknown model",
        404,
        {
            "code": "Some requested entity was not found",
            "error": "The model x does not exist or your team has no access",
        },
        GONE,
        "docs.x.ai/docs/key-information/debugging",
    ),
)

BAD_KEY = (
    KnownError(
        "OpenAI",
        "bad key",
        401,
        error("Incorrect API key provided: sk-***.", INVALID, "invalid_api_key"),
        CREDENTIALS,
        _OPENAI,
    ),
    KnownError("vLLM", "bad key", 401, {"error": "Unauthorized"}, CREDENTIALS, _VLLM),
    KnownError(
        "SGLang", "bad key", 401, {"error": "Unauthorized"}, CREDENTIALS, "sgl-project/sglang utils.py"
    ),
    KnownError(
        "llama.cpp",
        "bad key",
        401,
        error("Invalid API Key", "authentication_error", 401),
        CREDENTIALS,
        _LLAMA,
    ),
    KnownError(
        "LocalAI",
        "bad key",
        401,
        error("An authentication key is required", INVALID, 401),
        CREDENTIALS,
        _LOCALAI,
    ),
    KnownError(
        "NIM", "bad key", 401, {"status": 401, "title": "Unauthorized", "detail": "x"}, CREDENTIALS, _NIM
    ),
    KnownError(
        "LiteLLM",
        "bad key, without a database",
        400,
        error("No connected db.", "no_db_connection", "400"),
        CREDENTIALS,
        "BerriAI/litellm#12273",
    ),
    KnownError(
        "LiteLLM",
        "bad key, without a database, 2024",
        401,
        error("Authentication Error, No connected db.", "auth_error", 401),
        CREDENTIALS,
        "BerriAI/litellm#4880",
    ),
    KnownError(
        "LiteLLM",
        "bad key, with a database",
        401,
        error(
            "Authentication Error, Invalid proxy server token passed. Unable to find token in cache",
            "token_not_found_in_db",
            "401",
        ),
        CREDENTIALS,
        _LITELLM,
    ),
    KnownError(
        "LiteLLM",
        "a key that may not use the model",
        403,
        error("key not allowed to access model. Tried to access x", "key_model_access_denied", "403"),
        CREDENTIALS,
        _LITELLM,
    ),
    KnownError("OpenRouter", "bad key", 401, error("User not found.", None, 401), CREDENTIALS, _ROUTER),
    KnownError(
        "Gemini",
        "bad key",
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "API key not valid. Please pass a valid API key.",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        CREDENTIALS,
        _GEMINI,
    ),
    KnownError(
        "xAI",
        "bad key",
        400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: x"},
        CREDENTIALS,
        "docs.x.ai/docs/key-information/debugging",
    ),
    KnownError(
        "DeepSeek",
        "bad key",
        401,
        error("Authentication Fails, Your api key: ****x is invalid", "authentication_error", INVALID),
        CREDENTIALS,
        _DEEPSEEK,
    ),
)

NO_CREDIT = (
    KnownError(
        "OpenAI",
        "no credit",
        429,
        error(
            "You exceeded your current quota, please check your plan",
            "insufficient_quota",
            "insufficient_quota",
        ),
        BROKE,
        _OPENAI,
    ),
    KnownError(
        "LiteLLM",
        "a key without budget",
        400,
        error("Budget has been exceeded! Current cost: 0.2, Max budget: 0.1", "budget_exceeded", "400"),
        BROKE,
        _LITELLM,
    ),
    KnownError(
        "LiteLLM",
        "a user without budget",
        401,
        error(
            "Authentication Error, ExceededBudget: User=u over budget. Spend=2, Budget=1", "auth_error", 401
        ),
        BROKE,
        _LITELLM,
    ),
    KnownError("OpenRouter", "no credit", 402, error("Insufficient credits.", None, 402), BROKE, _ROUTER),
    KnownError(
        "OpenRouter",
        "a key at its limit",
        403,
        error("Key limit exceeded (total limit).", None, 403),
        BROKE,
        _ROUTER,
    ),
    KnownError(
        "DeepSeek",
        "no credit",
        402,
        error("Insufficient Balance", "unknown_error", INVALID),
        BROKE,
        _DEEPSEEK,
    ),
    KnownError(
        "Fireworks",
        "a suspended account",
        412,
        error("Account x is suspended, possibly due to reaching the monthly spending limit", "error", "x"),
        BROKE,
        _FIREWORKS,
    ),
    KnownError(
        "Hugging Face",
        "no credit",
        402,
        {"error": "You have exceeded your monthly included credits for Inference Providers."},
        BROKE,
        _HF,
    ),
    KnownError(
        "NIM", "no credit", 402, {"status": 402, "detail": "Account 'x': Cloud credits expired"}, BROKE, _NIM
    ),
    KnownError(
        "Together", "no credit", 402, error("Credit limit exceeded", "credit_limit"), BROKE, _TOGETHER
    ),
)

OVERLOAD = (
    KnownError("OpenAI", "overload", 503, error("The engine is currently overloaded"), TRANSIENT, _OPENAI),
    KnownError(
        "OpenAI",
        "rate",
        429,
        error("Rate limit reached", "requests", "rate_limit_exceeded"),
        THROTTLED,
        _OPENAI,
    ),
    KnownError(
        "vLLM",
        "its engine died",
        500,
        error("EngineCore encountered an issue. See stack trace (above).", "InternalServerError", 500),
        TRANSIENT,
        _VLLM,
    ),
    KnownError(
        "SGLang",
        "overload",
        503,
        flat("The request queue is full.", "ServiceUnavailableError", 503),
        TRANSIENT,
        "sgl-project/sglang scheduler.py",
    ),
    KnownError(
        "TGI", "overload", 429, {"error": "Model is overloaded", "error_type": "overloaded"}, THROTTLED, _HF
    ),
    KnownError(
        "Ollama",
        "overload",
        503,
        error("server busy, please try again.  maximum pending requests exceeded", "api_error"),
        TRANSIENT,
        _OLLAMA,
    ),
    KnownError(
        "LiteLLM",
        "all deployments cool down",
        429,
        error(
            "No deployments available for selected model, Try again in 5 seconds. Passed model=x.",
            "None",
            "429",
        ),
        THROTTLED,
        _LITELLM,
    ),
    KnownError(
        "LiteLLM",
        "no deployment is healthy",
        400,
        error("litellm.BadRequestError: There are no healthy deployments for this model", None, "400"),
        TRANSIENT,
        "BerriAI/litellm router.py",
    ),
    KnownError(
        "LiteLLM", "its upstream is slow", 408, error("litellm.Timeout: x", None, "408"), TRANSIENT, _LITELLM
    ),
    KnownError(
        "LiteLLM",
        "its upstream is gone",
        500,
        error("litellm.InternalServerError: OpenAIException - Connection error.", None, "500"),
        TRANSIENT,
        _LITELLM,
    ),
    KnownError(
        "Groq",
        "flex capacity",
        498,
        error("Flex tier capacity exceeded", "x", "capacity_exceeded"),
        THROTTLED,
        _GROQ,
    ),
    KnownError(
        "Groq", "overload", 503, error("x is currently over capacity. Please back off."), TRANSIENT, _GROQ
    ),
    KnownError(
        "Mistral",
        "capacity",
        429,
        flat("Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", 3505),
        THROTTLED,
        _MISTRAL,
    ),
    KnownError(
        "Gemini",
        "overload",
        503,
        [{"error": {"code": 503, "message": "The model is overloaded. Try later.", "status": "UNAVAILABLE"}}],
        TRANSIENT,
        _GEMINI,
    ),
    KnownError(
        "Together", "overload", 503, error("The server is overloaded or not ready"), TRANSIENT, _TOGETHER
    ),
    KnownError(
        "new-api",
        "no channel",
        503,
        error("No available channel for model x under group default", "new_api_error", "model_not_found"),
        TRANSIENT,
        "QuantumNous/new-api middleware/distributor.go",
    ),
)

LOADS = (
    KnownError(
        "llama.cpp", "loading", 503, error("Loading model", "unavailable_error", 503), LOADING, _LLAMA
    ),
    KnownError(
        "Hugging Face",
        "loading",
        503,
        {"error": "Model x is currently loading", "estimated_time": 20.0},
        LOADING,
        _HF,
    ),
    KnownError(
        "LM Studio",
        "nothing is loaded",
        404,
        error(
            "No models loaded. Please load a model in the developer page or use the `lms load` command.",
            INVALID,
            "model_not_found",
        ),
        LOADING,
        _LMSTUDIO,
    ),
    KnownError(
        "LM Studio",
        "nothing is loaded, as text",
        400,
        {"error": "No models loaded. Please load a model."},
        LOADING,
        _LMSTUDIO,
    ),
    KnownError("a server", "starting", 503, error("x"), LOADING, "RFC 9110, 10.2.3", {"retry-after": "5"}),
)

#: Errors that must not end a session: one confirmation of GONE is death.
NOT_GONE = tuple(
    KnownError("no server", f"{status} {body!r}", status, body, verdict, "none")
    for status, body, verdict in (
        (
            400,
            error("/chat/completions: Invalid model name passed in model=None. " + ROUTE, "None", "400"),
            MISCONFIGURED,
        ),
        (400, error("Invalid value for 'model': expected a string"), MISCONFIGURED),
        (400, error("invalid_model_parameter"), MISCONFIGURED),
        (400, error("max_tokens is too large for model x"), MISCONFIGURED),
        (400, error("Model x does not support system messages"), MISCONFIGURED),
        (
            400,
            error("The requested model 'x' is not supported by any provider", INVALID, "model_not_supported"),
            MISCONFIGURED,
        ),
        (404, error("No endpoints found for x/y.", None, 404), MISCONFIGURED),
        (
            404,
            error("The API deployment for this resource does not exist.", None, "DeploymentNotFound"),
            MISCONFIGURED,
        ),
        (404, {"detail": "Not Found"}, MISCONFIGURED),
        (500, error("Model Not Exist"), TRANSIENT),
        (502, error("x is not a valid model ID"), TRANSIENT),
        (503, error("Invalid model name passed in model=x"), TRANSIENT),
        (503, error("No connected db.", "no_db_connection", "503"), TRANSIENT),
        (401, error("model x: no such key"), CREDENTIALS),
        (429, error("Budget of requests per minute exceeded"), THROTTLED),
    )
)

ERRORS = (*UNKNOWN_MODEL, *BAD_KEY, *NO_CREDIT, *OVERLOAD, *LOADS, *NOT_GONE)
