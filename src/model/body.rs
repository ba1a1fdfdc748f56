//! The body of a request: what of it is the same every time is written once.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Endpoint, Request, ToolChoice, ToolName};
use crate::wire::chat::{self, Fields};

/// A field that the provider does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub field: String,
    /// What it is called instead, unless that is set itself; `None` = it is left out.
    pub to: Option<&'static str>,
}

impl Change {
    /// Makes the change; false if there is no such field.
    pub fn on(&self, fields: &mut Fields) -> bool {
        let Some(value) = fields.remove(&self.field) else { return false };
        if let Some(name) = self.to.filter(|to| fields.names().all(|name| name != *to)) {
            fields.set(name, value);
        }
        true
    }
}

/// Writes the bodies for one model.
pub(super) struct Template {
    /// As set. The fields about tools are among them.
    fields: Fields,
    /// As it turned out.
    known: Mutex<Known>,
    /// What was learned counts for this one as well.
    origin: Option<Arc<Template>>,
}

struct Known {
    changes: Vec<Change>,
    parts: Arc<Parts>,
}

/// Fields as bytes, with commas between them.
struct Parts {
    always: Vec<u8>,
    /// Beside tools, by whether they must, may or must not be called.
    first: First,
    later: Vec<u8>,
    barred: Vec<u8>,
}

/// What stands beside the tools of the first request of a turn.
enum First {
    /// The same whatever the tools are.
    Fixed(Vec<u8>),
    /// The choice of the tool of this name, beside what stands in later requests.
    Names(String),
}

impl Template {
    pub fn new(endpoint: &Endpoint, model: &str) -> Self {
        let (dialect, text) = (&endpoint.dialect, serde_json::Value::from(model).to_string());
        let mut fields = Fields::default();
        fields.set("model", text);
        fields.set("stream", endpoint.stream.to_string());
        if endpoint.stream && dialect.stream_usage {
            fields.set("stream_options", r#"{"include_usage":true}"#.to_owned());
        }
        if let Some(parallel) = endpoint.parallel_tool_calls.filter(|_| dialect.parallel_tool_calls)
        {
            fields.set("parallel_tool_calls", parallel.to_string());
        }
        for (name, value) in endpoint.settings.fields(dialect) {
            fields.set(&name, value);
        }
        let parts = Arc::new(Parts::new(&fields, &[]));
        Self { fields, known: Mutex::new(Known { changes: Vec::new(), parts }), origin: None }
    }

    /// Writes as `origin` has learned to, and lets that learn with it.
    pub fn learns_with(mut self, origin: &Arc<Self>) -> Self {
        let known = origin.known.lock().unwrap_or_else(PoisonError::into_inner).changes.clone();
        self.learn(&known);
        self.origin = Some(Arc::clone(origin));
        self
    }

    /// The body of `request`.
    pub fn write(&self, request: Request<'_>) -> Vec<u8> {
        let parts = Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner).parts);
        let tool_fields = match (request, &parts.first) {
            (Request { may_call: false, .. }, _) => Cow::Borrowed(&*parts.barred),
            (Request { first: true, .. }, First::Fixed(fields)) => Cow::Borrowed(&**fields),
            (Request { first: true, names, .. }, First::Names(tool)) => parts.naming(tool, names),
            (Request { .. }, _) => Cow::Borrowed(&*parts.later),
        };
        let Request { tools, messages, .. } = request;
        let tool_fields = &*tool_fields;
        chat::Request { fields: &parts.always, tools, tool_fields, messages }.write()
    }

    /// Makes `changes` in all bodies to come. Returns those that are new.
    pub fn learn(&self, changes: &[Change]) -> Vec<Change> {
        if let Some(origin) = &self.origin {
            origin.learn(changes);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |change: &&Change| !known.changes.contains(change);
        let new: Vec<_> = changes.iter().filter(is_new).cloned().collect();
        if !new.is_empty() {
            known.changes.extend_from_slice(&new);
            known.parts = Arc::new(Parts::new(&self.fields, &known.changes));
        }
        new
    }
}

impl Parts {
    fn new(fields: &Fields, changes: &[Change]) -> Self {
        let mut fields = fields.clone();
        for change in changes {
            change.on(&mut fields);
        }
        let refuses_choice = changes.iter().any(|change| change.field == "tool_choice");
        let choice = fields.remove("tool_choice");
        let parallel = fields.remove("parallel_tool_calls");
        let beside_tools = |choice: Option<&str>| {
            let mut fields = Fields::default();
            if let Some(parallel) = &parallel {
                fields.set("parallel_tool_calls", parallel.clone());
            }
            if let Some(choice) = choice.filter(|_| !refuses_choice) {
                fields.set("tool_choice", choice.to_owned());
            }
            fields.join()
        };
        let lasting = choice.as_deref().filter(|word| matches!(*word, r#""auto""# | r#""none""#));
        let named = choice.as_deref().and_then(named_tool).filter(|_| !refuses_choice);
        Self {
            always: fields.join(),
            first: match named {
                Some(tool) => First::Names(tool),
                None => First::Fixed(beside_tools(choice.as_deref())),
            },
            later: beside_tools(lasting),
            barred: beside_tools(Some(r#""none""#)),
        }
    }

    /// The fields beside tools of these `names`, of which `tool` is to be called. If it is not among
    /// them no choice is said: providers refuse the name of a tool that is not listed.
    fn naming(&self, tool: &str, names: &[ToolName]) -> Cow<'_, [u8]> {
        let is_it = |name: &&ToolName| *name.own == *tool || *name.on_the_wire == *tool;
        let Some(name) = names.iter().find(is_it) else { return Cow::Borrowed(&self.later) };
        let choice = ToolChoice::Tool(name.on_the_wire.to_string()).json();
        let mut fields = Fields::default();
        fields.set("tool_choice", choice.to_string());
        let comma: &[u8] = if self.later.is_empty() { b"" } else { b"," };
        Cow::Owned([&*self.later, comma, &fields.join()].concat())
    }
}

/// The tool that a choice names.
fn named_tool(choice: &str) -> Option<String> {
    let choice: serde_json::Value = serde_json::from_str(choice).ok()?;
    Some(choice.get("function")?.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Dialect, RequestSettings, ToolChoice};
    use super::*;

    const FIRST: Request<'static> = Request {
        messages: br#"{"role":"user","content":"hi"}"#,
        tools: br#"[{"x":1}]"#,
        names: &[],
        may_call: true,
        first: true,
    };

    fn name(own: &str, on_the_wire: &str) -> ToolName {
        ToolName { own: own.into(), on_the_wire: on_the_wire.into() }
    }

    fn endpoint(settings: RequestSettings) -> Endpoint {
        let parallel_tool_calls = None;
        Endpoint { stream: false, parallel_tool_calls, settings, ..Endpoint::new("http://a/v1") }
    }

    /// What is in the body beside the model's name, `stream`, the tools and the messages.
    fn body(template: &Template, request: Request<'_>) -> serde_json::Value {
        let mut body =
            serde_json::from_slice::<serde_json::Value>(&template.write(request)).unwrap();
        let fields = body.as_object_mut().unwrap();
        assert_eq!(fields.remove("model"), Some(json!("m\"")));
        assert_eq!(fields.remove("stream"), Some(json!(false)));
        assert_eq!(fields.remove("messages"), Some(json!([{"role": "user", "content": "hi"}])));
        let tools = fields.remove("tools");
        assert_eq!(tools, Some(json!([{"x": 1}])).filter(|_| !request.tools.is_empty()));
        body
    }

    #[track_caller]
    fn check(settings: RequestSettings, request: Request<'_>, expected: serde_json::Value) {
        assert_eq!(body(&Template::new(&endpoint(settings), "m\""), request), expected);
    }

    #[test]
    fn what_is_not_set_is_not_said() {
        check(RequestSettings::default(), FIRST, json!({}));
        check(RequestSettings::default(), Request { tools: b"", ..FIRST }, json!({}));
    }

    #[test]
    fn every_setting_is_a_field() {
        let settings = RequestSettings {
            temperature: Some(0.5),
            max_tokens: Some(100),
            tool_choice: Some(ToolChoice::Auto),
            response_format: json!({"type": "json_object"}).as_object().cloned(),
            reasoning_effort: Some("low".to_owned()),
            extra_body: json!({"top_k": 4}).as_object().cloned().unwrap(),
        };
        let mut expected = json!({"temperature": 0.5, "max_tokens": 100, "tool_choice": "auto",
            "response_format": {"type": "json_object"}, "reasoning_effort": "low", "top_k": 4});
        check(settings.clone(), FIRST, expected.clone());
        expected.as_object_mut().unwrap().remove("tool_choice");
        check(settings, Request { tools: b"", ..FIRST }, expected);
    }

    #[test]
    fn a_choice_that_forces_a_call_is_for_the_first_request_of_a_turn() {
        let settings = |choice| RequestSettings { tool_choice: Some(choice), ..Default::default() };
        let names = [name("f", "f")];
        let first = Request { names: &names, ..FIRST };
        let later = Request { first: false, ..first };
        let named = json!({"tool_choice": {"type": "function", "function": {"name": "f"}}});
        check(settings(ToolChoice::Tool("f".into())), first, named);
        check(settings(ToolChoice::Tool("f".into())), later, json!({}));
        check(settings(ToolChoice::Required), FIRST, json!({"tool_choice": "required"}));
        check(settings(ToolChoice::Required), later, json!({}));
        check(settings(ToolChoice::Auto), later, json!({"tool_choice": "auto"}));
        check(settings(ToolChoice::None), later, json!({"tool_choice": "none"}));
    }

    #[test]
    fn a_tool_is_named_as_the_request_lists_it_or_not_at_all() {
        let names = [name("math.sum", "math_sum"), name("f", "f")];
        let listed = Request { names: &names, ..FIRST };
        let chosen = |tool: &str| json!({"type": "function", "function": {"name": tool}});
        let settings = |extra_body: serde_json::Value| RequestSettings {
            extra_body: extra_body.as_object().cloned().unwrap(),
            ..RequestSettings::default()
        };
        for (tool, expected) in [
            ("f", json!({"tool_choice": chosen("f")})),
            ("math.sum", json!({"tool_choice": chosen("math_sum")})),
            ("math_sum", json!({"tool_choice": chosen("math_sum")})),
            ("g", json!({})),
        ] {
            let tool_choice = Some(ToolChoice::Tool(tool.to_owned()));
            let set = RequestSettings { tool_choice, ..RequestSettings::default() };
            let extra = settings(json!({"tool_choice": chosen(tool)}));
            for settings in [set, extra] {
                check(settings.clone(), listed, expected.clone());
                check(settings.clone(), FIRST, json!({})); // It is out of service.
                check(settings, Request { tools: b"", ..FIRST }, json!({}));
            }
        }
        let beside = json!({"tool_choice": chosen("f"), "parallel_tool_calls": false});
        check(settings(beside.clone()), listed, beside);
        let without = json!({"parallel_tool_calls": false});
        let beside = json!({"tool_choice": chosen("g"), "parallel_tool_calls": false});
        check(settings(beside), listed, without);
        let required = settings(json!({"tool_choice": "required"}));
        check(required, Request { tools: b"", ..listed }, json!({}));
    }

    #[test]
    fn a_choice_that_the_provider_refuses_is_not_made_of_a_name_either() {
        let tool_choice = Some(ToolChoice::Tool("f".to_owned()));
        let settings = RequestSettings { tool_choice, ..RequestSettings::default() };
        let template = Template::new(&endpoint(settings), "m\"");
        template.learn(&[Change { field: "tool_choice".to_owned(), to: None }]);
        let names = [name("f", "f")];
        assert_eq!(body(&template, Request { names: &names, ..FIRST }), json!({}));
    }

    #[test]
    fn tools_that_must_not_be_called_are_not_whatever_is_set() {
        let barred = Request { may_call: false, ..FIRST };
        let none = json!({"tool_choice": "none"});
        check(RequestSettings::default(), barred, none.clone());
        let tool_choice = Some(ToolChoice::Required);
        check(RequestSettings { tool_choice, ..Default::default() }, barred, none.clone());
        let extra_body = json!({"tool_choice": "required"}).as_object().cloned().unwrap();
        check(RequestSettings { extra_body, ..Default::default() }, barred, none);
    }

    #[test]
    fn a_field_of_the_extra_body_counts_more_than_ours() {
        let extra_body = json!({"temperature": 1, "stream_options": {}, "tool_choice": "auto",
            "parallel_tool_calls": 7, "model": "x", "messages": 1, "stream": 1, "tools": 1});
        let settings = RequestSettings {
            temperature: Some(0.0),
            tool_choice: Some(ToolChoice::None),
            extra_body: extra_body.as_object().cloned().unwrap(),
            ..RequestSettings::default()
        };
        let expected = json!({"temperature": 1, "stream_options": {}, "tool_choice": "auto",
            "parallel_tool_calls": 7});
        check(settings, FIRST, expected);
    }

    #[test]
    fn a_limit_of_tokens_in_the_extra_body_is_the_only_one_under_whatever_name() {
        let extra = |extra_body: serde_json::Value| RequestSettings {
            max_tokens: Some(9),
            extra_body: extra_body.as_object().cloned().unwrap(),
            ..RequestSettings::default()
        };
        for name in ["max_tokens", "max_completion_tokens"] {
            check(extra(json!({name: 7})), FIRST, json!({name: 7}));
            let dialect = Dialect::named("openai").unwrap();
            let openai = Endpoint { dialect, ..endpoint(extra(json!({name: 7}))) };
            assert_eq!(body(&Template::new(&openai, "m\""), FIRST), json!({name: 7}));
        }
        // Whoever sets both is taken at their word; no new name takes the place of what is set.
        let both = extra(json!({"max_tokens": 1, "max_completion_tokens": 2}));
        let template = Template::new(&endpoint(both), "m\"");
        assert_eq!(body(&template, FIRST), json!({"max_tokens": 1, "max_completion_tokens": 2}));
        let to = Some("max_completion_tokens");
        template.learn(&[Change { field: "max_tokens".to_owned(), to }]);
        assert_eq!(body(&template, FIRST), json!({"max_completion_tokens": 2}));
    }

    #[test]
    fn a_dialect_names_and_omits_fields() {
        let settings = RequestSettings { max_tokens: Some(9), ..Default::default() };
        let written = |name| {
            let dialect = Dialect::named(name).unwrap();
            let settings = settings.clone();
            let endpoint = Endpoint { dialect, settings, ..Endpoint::new("http://a/v1") };
            let body = Template::new(&endpoint, "m").write(FIRST);
            let body = serde_json::from_slice::<serde_json::Value>(&body).unwrap();
            ["max_tokens", "max_completion_tokens", "stream_options", "parallel_tool_calls"]
                .into_iter()
                .filter(|field| body.get(field).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(written("generic"), ["max_tokens", "stream_options", "parallel_tool_calls"]);
        let openai = ["max_completion_tokens", "stream_options", "parallel_tool_calls"];
        assert_eq!(written("openai"), openai);
        assert_eq!(written("mistral"), ["max_tokens", "parallel_tool_calls"]);
        assert_eq!(written("databricks"), ["max_tokens"]);
    }

    #[test]
    fn what_is_learned_holds_for_all_bodies_to_come() {
        let settings = RequestSettings {
            temperature: Some(0.5),
            max_tokens: Some(9),
            tool_choice: Some(ToolChoice::Auto),
            ..RequestSettings::default()
        };
        let template = Template::new(&endpoint(settings), "m\"");
        let change = |field: &str, to| Change { field: field.to_owned(), to };
        let renamed = change("max_tokens", Some("max_completion_tokens"));
        let changes = [change("temperature", None), renamed.clone()];
        assert_eq!(template.learn(&changes), changes);
        let expected = json!({"max_completion_tokens": 9, "tool_choice": "auto"});
        assert_eq!(body(&template, FIRST), expected);
        let more = [renamed, change("tool_choice", None)];
        assert_eq!(template.learn(&more), more[1..]);
        let barred = Request { may_call: false, ..FIRST };
        assert_eq!(body(&template, barred), json!({"max_completion_tokens": 9}));
    }
}
