//! What a client asks for.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::conversation::Approval;
use crate::model::{RequestSettings, ToolChoice};
use crate::server::problem::Problem;
use crate::tools::{Error, Origin, SetError, ToolFuture, ToolSet, ToolType};

/// How many tools there may be, ours and the client's. A model that takes fewer says so itself.
const MOST_TOOLS: usize = 512;

/// The fields that the model is sent as they are.
const PASSED_ON: [&str; 8] = [
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "verbosity",
    "user",
];

/// The fields that would change the answer in a way that we do not.
const REFUSED: [(&str, &str); 5] = [
    ("functions", "`functions` is not taken; use `tools`"),
    ("function_call", "`function_call` is not taken; use `tool_choice`"),
    ("audio", "audio is not spoken here"),
    ("web_search_options", "the web is not searched here"),
    ("top_logprobs", "log probabilities are not given"),
];

/// The fields of a request as they came.
pub(super) type Body = HashMap<String, Box<RawValue>>;

/// What a client asks for.
pub(super) struct Request {
    /// As they came.
    pub messages: Vec<Box<RawValue>>,
    /// The tools that it runs itself.
    tools: Vec<Function>,
    /// For the model, if anything is.
    pub settings: Option<RequestSettings>,
    /// It wants the answer as it comes.
    pub stream: Option<Streamed>,
}

/// How an answer is streamed.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Streamed {
    /// The last chunk counts the tokens.
    #[serde(default)]
    pub include_usage: bool,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Value>,
}

impl Request {
    pub fn read(body: Body) -> Result<Self, Problem> {
        let mut fields = Fields(body);
        for (name, why) in REFUSED {
            if fields.take::<Value>(name)?.is_some() {
                return Err(bad(name, why));
            }
        }
        if fields.take::<u64>("n")?.is_some_and(|n| n != 1) {
            return Err(bad("n", "one answer is given to a request"));
        }
        if fields.take::<bool>("logprobs")? == Some(true) {
            return Err(bad("logprobs", "log probabilities are not given"));
        }
        let modalities = fields.take::<Vec<String>>("modalities")?;
        if modalities.is_some_and(|kinds| kinds.iter().any(|kind| kind != "text")) {
            return Err(bad("modalities", "answers are text"));
        }
        let messages = fields.take::<Vec<Box<RawValue>>>("messages")?.unwrap_or_default();
        if messages.is_empty() {
            return Err(bad("messages", "there is no message to answer"));
        }
        let streams = fields.take::<bool>("stream")?.unwrap_or_default();
        let streamed = fields.take::<Streamed>("stream_options")?.unwrap_or_default();
        let tools = fields.take::<Vec<Tool>>("tools")?.unwrap_or_default();
        let function = |(at, Tool { kind, function }): (usize, Tool)| match function {
            Some(function) if kind == "function" => Ok(function),
            _ => Err(bad(&format!("tools[{at}]"), "a tool is a function here")),
        };
        let tools = tools.into_iter().enumerate().map(function).collect::<Result<_, _>>()?;
        let _any = fields.take::<String>("model")?;
        let settings = settings(&mut fields)?;
        let settings = Some(settings).filter(|settings| *settings != RequestSettings::default());
        Ok(Self { messages, tools, settings, stream: streams.then_some(streamed) })
    }

    /// The names of the tools that it runs itself.
    pub fn tool_names(&self) -> Vec<String> {
        self.tools.iter().map(|tool| tool.name.clone()).collect()
    }

    /// Refuses the choice of a tool that there is not.
    pub fn check_choice(&self, ours: &ToolSet) -> Result<(), Problem> {
        let choice = self.settings.as_ref().and_then(|settings| settings.tool_choice.as_ref());
        let Some(ToolChoice::Tool(name)) = choice else { return Ok(()) };
        let is_ours = ours.names().iter().any(|ours| is_named(ours, name));
        match is_ours || self.tools.iter().any(|tool| tool.name == *name) {
            true => Ok(()),
            false => Err(bad("tool_choice", &format!("there is no tool `{name}`"))),
        }
    }

    /// Our tools with the client's behind them; `None` if it has none.
    pub fn tools_beside(&self, ours: &ToolSet) -> Result<Option<ToolSet>, Problem> {
        if self.tools.is_empty() {
            return Ok(None);
        }
        let mut theirs = Vec::with_capacity(self.tools.len());
        for (at, Function { name, description, parameters }) in self.tools.iter().enumerate() {
            let refused = |why: &str| Err(bad(&format!("tools[{at}].function.name"), why));
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
                return refused("a name has 1 to 64 letters, digits, `_` and `-`");
            }
            if ours.names().iter().any(|ours| is_named(ours, name)) {
                return refused(&format!(
                    "`{name}` is a tool of this server's; call yours otherwise"
                ));
            }
            let nothing = || serde_json::json!({"type": "object", "properties": {}});
            let parameters = parameters.clone().unwrap_or_else(nothing);
            theirs.push(outside(name, description.as_deref().unwrap_or_default(), parameters));
        }
        let set = ours.and(theirs, MOST_TOOLS.max(ours.len()));
        set.map(Some).map_err(|error| {
            let place = |name: &str| self.tools.iter().rposition(|tool| tool.name == name);
            let at = match &error {
                SetError::Name { name }
                | SetError::Twice { name }
                | SetError::TooMany { name, .. }
                | SetError::Limit { name, .. }
                | SetError::Reuse { name, .. }
                | SetError::Schema { name, .. } => place(name),
            };
            let param = at.map_or_else(|| "tools".to_owned(), |at| format!("tools[{at}].function"));
            bad(&param, &error.to_string())
        })
    }
}

fn is_named(tool: &crate::model::ToolName, name: &str) -> bool {
    *tool.own == *name || *tool.on_the_wire == *name
}

/// A tool of the client's. It does not run here.
fn outside(name: &str, description: &str, parameters: Value) -> ToolType {
    let run = |_: &str, _: crate::CallContext| -> ToolFuture {
        Box::pin(std::future::ready(Err(Error::permanent("the client runs it"))))
    };
    ToolType::new(name, description, parameters, move || run)
        .approval(Approval::Outside)
        .with_origin(Origin::of("client"))
}

fn settings(fields: &mut Fields) -> Result<RequestSettings, Problem> {
    let mut extra_body = Map::new();
    for name in PASSED_ON {
        if let Some(value) = fields.take::<Value>(name)? {
            extra_body.insert(name.to_owned(), value);
        }
    }
    if let Some(parallel) = fields.take::<bool>("parallel_tool_calls")? {
        extra_body.insert("parallel_tool_calls".to_owned(), parallel.into());
    }
    let old_limit = fields.take::<u32>("max_tokens")?;
    Ok(RequestSettings {
        temperature: fields.take("temperature")?,
        max_tokens: fields.take::<u32>("max_completion_tokens")?.or(old_limit),
        tool_choice: fields.take::<Value>("tool_choice")?.map(choice).transpose()?,
        response_format: fields.take("response_format")?,
        reasoning_effort: fields.take("reasoning_effort")?,
        extra_body,
    })
}

fn choice(choice: Value) -> Result<ToolChoice, Problem> {
    match choice.as_str() {
        Some("auto") => return Ok(ToolChoice::Auto),
        Some("none") => return Ok(ToolChoice::None),
        Some("required") => return Ok(ToolChoice::Required),
        _ => {}
    }
    let is_function = choice["type"] == "function";
    let name = choice["function"]["name"].as_str().filter(|_| is_function);
    let name =
        name.ok_or_else(|| bad("tool_choice", "it is `auto`, `none`, `required` or a function"));
    Ok(ToolChoice::Tool(name?.to_owned()))
}

/// The fields that were not looked at yet.
struct Fields(Body);

impl Fields {
    /// Takes a field out; `None` if it is not there, or null.
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.0.remove(name) else { return Ok(None) };
        let value = serde_json::from_str(raw.get());
        value.map_err(|error| bad(name, &format!("`{name}`: {error}")))
    }
}

fn bad(param: &str, why: &str) -> Problem {
    Problem::bad_request("bad_request", why).about(param)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<Request, String> {
        let body = serde_json::from_value::<HashMap<String, Value>>(body).unwrap();
        let raw = |value: Value| serde_json::value::to_raw_value(&value).unwrap();
        let body = body.into_iter().map(|(name, value)| (name, raw(value))).collect();
        Request::read(body).map_err(|problem| {
            let error = &problem.open_ai()["error"];
            format!("{}: {}", error["param"].as_str().unwrap(), error["message"].as_str().unwrap())
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = serde_json::json!({"messages": [{"role": "user", "content": "hi"}]});
        body[field] = value;
        body
    }

    #[test]
    fn what_the_model_can_be_told_is_passed_on() {
        let mut body = with("temperature", 0.5.into());
        body["max_tokens"] = 9.into();
        body["max_completion_tokens"] = 7.into();
        body["stop"] = serde_json::json!(["x"]);
        body["parallel_tool_calls"] = false.into();
        body["tool_choice"] = "required".into();
        body["metadata"] = serde_json::json!({"a": 1});
        body["n"] = 1.into();
        body["logprobs"] = false.into();
        body["user"] = Value::Null;
        let settings = read(body).unwrap().settings.unwrap();
        let extra = serde_json::json!({"stop": ["x"], "parallel_tool_calls": false});
        assert_eq!(Value::Object(settings.extra_body), extra);
        assert_eq!((settings.temperature, settings.max_tokens), (Some(0.5), Some(7)));
        assert_eq!(settings.tool_choice, Some(ToolChoice::Required));
        assert_eq!(read(with("model", "gpt-x".into())).unwrap().settings, None);
    }

    #[test]
    fn what_would_make_the_answer_another_is_refused_by_name() {
        let custom = serde_json::json!([{"type": "custom", "custom": {"name": "x"}}]);
        let allowed = serde_json::json!({"type": "allowed_tools"});
        for (field, value, why) in [
            ("n", 2.into(), "n: one answer"),
            ("n", "2".into(), "n: `n`: invalid type"),
            ("logprobs", true.into(), "logprobs: "),
            ("top_logprobs", 3.into(), "top_logprobs: "),
            ("functions", serde_json::json!([]), "functions: `functions` is not taken"),
            ("function_call", "auto".into(), "function_call: "),
            ("audio", serde_json::json!({}), "audio: "),
            ("modalities", serde_json::json!(["text", "audio"]), "modalities: "),
            ("messages", serde_json::json!([]), "messages: there is no message"),
            ("messages", Value::Null, "messages: there is no message"),
            ("messages", "hi".into(), "messages: `messages`: invalid type"),
            ("temperature", "hot".into(), "temperature: `temperature`: invalid type"),
            ("max_tokens", (-1).into(), "max_tokens: `max_tokens`: invalid value"),
            ("response_format", "json".into(), "response_format: "),
            ("tools", custom, "tools[0]: a tool is a function here"),
            ("tools", serde_json::json!({}), "tools: `tools`: invalid type"),
            ("tool_choice", allowed, "tool_choice: it is `auto`"),
            ("tool_choice", "always".into(), "tool_choice: it is `auto`"),
            ("stream", "yes".into(), "stream: `stream`: invalid type"),
        ] {
            let refused = read(with(field, value.clone())).err().unwrap_or_default();
            assert!(refused.starts_with(why), "{field} {value}: {refused}");
        }
    }
}
