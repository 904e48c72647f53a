"""The client that users have: the real `openai` package, connected to a session's endpoint."""


def complete(base_url: str, api_key: str, model: str, text: str, *, timeout: float) -> str:
    """Return what the model answers to `text`. Raises openai.OpenAIError."""
    from openai import DefaultHttpxClient, OpenAI

    http = DefaultHttpxClient(trust_env=False)  # a proxy of the environment does not lead to this machine
    with OpenAI(
        base_url=base_url, api_key=api_key, http_client=http, timeout=timeout, max_retries=1
    ) as client:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": text}], max_tokens=64
        )
    return answer.choices[0].message.content or ""
