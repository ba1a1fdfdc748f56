//! The table. A row says only in what it differs from [`GENERIC`], and why where the flag does not.

use super::{Dialect, EmptyContent, IdRule, TokenLimitField};

/// What the standard says, with the most cautious flags.
pub(super) const GENERIC: Dialect = Dialect {
    name: "generic",
    hosts: &[],
    key_variable: None,
    brace_close_trusted: false,
    stop_means_no_tools: false,
    empty_content: EmptyContent::Absent,
    parallel_tool_calls: true,
    stream_usage: true,
    id_rule: IdRule::Any,
    name_on_results: false,
    assistant_after_results: false,
    signed_calls: false,
    reasoning_on_replies: false,
    max_tools: None,
    token_limit_field: TokenLimitField::MaxTokens,
    reports_cost: false,
};

/// Who has a row.
pub(super) const ROWS: &[Dialect] = &[
    Dialect {
        name: "openai",
        hosts: &["api.openai.com"],
        key_variable: Some("OPENAI_API_KEY"),
        brace_close_trusted: true,
        id_rule: IdRule::Max40,
        max_tools: Some(128),
        token_limit_field: TokenLimitField::MaxCompletionTokens,
        ..GENERIC
    },
    Dialect {
        name: "azure",
        hosts: &["openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"],
        key_variable: Some("AZURE_OPENAI_API_KEY"),
        brace_close_trusted: true,
        id_rule: IdRule::Max40,
        max_tools: Some(128),
        token_limit_field: TokenLimitField::MaxCompletionTokens,
        ..GENERIC
    },
    Dialect {
        name: "openrouter",
        hosts: &["openrouter.ai"],
        key_variable: Some("OPENROUTER_API_KEY"),
        brace_close_trusted: true,
        max_tools: Some(128), // The least of those behind it.
        reports_cost: true,
        ..GENERIC
    },
    Dialect {
        name: "anthropic",
        hosts: &["api.anthropic.com"],
        key_variable: Some("ANTHROPIC_API_KEY"),
        brace_close_trusted: true,
        ..GENERIC
    },
    Dialect {
        name: "deepseek",
        hosts: &["api.deepseek.com"],
        key_variable: Some("DEEPSEEK_API_KEY"),
        brace_close_trusted: true,
        reasoning_on_replies: true, // Its thinking models refuse a history without.
        max_tools: Some(128),
        ..GENERIC
    },
    Dialect {
        name: "groq",
        hosts: &["api.groq.com"],
        key_variable: Some("GROQ_API_KEY"),
        brace_close_trusted: true,
        max_tools: Some(128),
        token_limit_field: TokenLimitField::MaxCompletionTokens,
        ..GENERIC
    },
    // It refuses every field that it does not know: `stream_options` and `max_completion_tokens` too.
    Dialect {
        name: "mistral",
        hosts: &["api.mistral.ai", "codestral.mistral.ai"],
        key_variable: Some("MISTRAL_API_KEY"),
        brace_close_trusted: true,
        empty_content: EmptyContent::Empty,
        stream_usage: false,
        id_rule: IdRule::Mistral,
        assistant_after_results: true,
        ..GENERIC
    },
    Dialect {
        name: "xai",
        hosts: &["api.x.ai"],
        key_variable: Some("XAI_API_KEY"),
        brace_close_trusted: true,
        max_tools: Some(128),
        reports_cost: true,
        ..GENERIC
    },
    Dialect {
        name: "moonshot",
        hosts: &["api.moonshot.ai", "api.moonshot.cn"],
        key_variable: Some("MOONSHOT_API_KEY"),
        id_rule: IdRule::Kimi,
        max_tools: Some(128),
        ..GENERIC
    },
    Dialect {
        name: "zai",
        hosts: &["api.z.ai", "open.bigmodel.cn"],
        key_variable: Some("ZAI_API_KEY"),
        max_tools: Some(128),
        ..GENERIC
    },
    // It refuses every field that it does not know, and finds the call of a result by the tool's name.
    Dialect {
        name: "gemini",
        hosts: &["generativelanguage.googleapis.com"],
        key_variable: Some("GEMINI_API_KEY"),
        parallel_tool_calls: false, // It gives parallel calls anyway.
        name_on_results: true,
        signed_calls: true,
        max_tools: Some(512),
        ..GENERIC
    },
    Dialect {
        name: "together",
        hosts: &["api.together.xyz", "api.together.ai"],
        key_variable: Some("TOGETHER_API_KEY"),
        ..GENERIC
    },
    Dialect {
        name: "fireworks",
        hosts: &["api.fireworks.ai"],
        key_variable: Some("FIREWORKS_API_KEY"),
        ..GENERIC
    },
    Dialect {
        name: "huggingface",
        hosts: &["router.huggingface.co"],
        key_variable: Some("HF_TOKEN"),
        ..GENERIC
    },
    Dialect {
        name: "cerebras",
        hosts: &["api.cerebras.ai"],
        key_variable: Some("CEREBRAS_API_KEY"),
        token_limit_field: TokenLimitField::MaxCompletionTokens,
        ..GENERIC
    },
    // It refuses every field that it does not know.
    Dialect {
        name: "databricks",
        hosts: &["cloud.databricks.com", "azuredatabricks.net", "gcp.databricks.com"],
        key_variable: Some("DATABRICKS_TOKEN"),
        parallel_tool_calls: false,
        stream_usage: false, // It counts in every chunk.
        ..GENERIC
    },
    Dialect {
        name: "snowflake",
        hosts: &["snowflakecomputing.com"],
        key_variable: Some("SNOWFLAKE_TOKEN"),
        empty_content: EmptyContent::Null,
        ..GENERIC
    },
    Dialect {
        name: "venice",
        hosts: &["api.venice.ai"],
        key_variable: Some("VENICE_API_KEY"),
        reports_cost: true,
        ..GENERIC
    },
    Dialect {
        name: "perplexity",
        hosts: &["api.perplexity.ai"],
        key_variable: Some("PERPLEXITY_API_KEY"),
        reports_cost: true,
        ..GENERIC
    },
    Dialect {
        name: "alibaba",
        hosts: &[
            "dashscope.aliyuncs.com",
            "dashscope-intl.aliyuncs.com",
            "dashscope-us.aliyuncs.com",
        ],
        key_variable: Some("DASHSCOPE_API_KEY"),
        empty_content: EmptyContent::Empty, // A message without `content` is refused.
        ..GENERIC
    },
    Dialect {
        name: "github-copilot",
        hosts: &["githubcopilot.com"],
        key_variable: Some("GITHUB_COPILOT_API_KEY"),
        max_tools: Some(128),
        ..GENERIC
    },
    Dialect {
        name: "vercel",
        hosts: &["ai-gateway.vercel.sh"],
        key_variable: Some("AI_GATEWAY_API_KEY"),
        ..GENERIC
    },
    Dialect {
        name: "ollama",
        hosts: &["ollama.com", "localhost:11434"],
        key_variable: Some("OLLAMA_API_KEY"),
        empty_content: EmptyContent::Empty,
        ..GENERIC
    },
    // Without the field it allows one call at a time, so it must be sent.
    Dialect { name: "llama.cpp", ..GENERIC },
    Dialect { name: "vllm", ..GENERIC },
    Dialect { name: "lm-studio", hosts: &["localhost:1234"], ..GENERIC },
];
