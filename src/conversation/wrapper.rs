//! `multi_tool_use.parallel`: the way in which models of OpenAI are shown several calls at once
//! while they are trained. Some write it as a call of a tool that nobody has:
//! `{"tool_uses": [{"recipient_name": "functions.get_weather", "parameters": {…}}, …]}`.
//!
//! Each of its uses becomes a call of its own. The history holds the wrapper as it was asked for, and
//! one answer to it: a list, in order, of what became of each use.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{AskedCall, Catalogue, Outcome, OutcomeKind};
use crate::wire::{Arguments, Call, Extra, MAX_CALLS, names};

/// A call that is to be judged: one of the reply, or one from within a wrapper.
pub(super) struct Unwrapped {
    pub call: Call,
    /// The wire id of the wrapper it is from.
    pub part_of: Option<Arc<str>>,
    /// Set if it is not a call that could be made, whatever tools there are.
    pub refused: Option<Outcome>,
}

#[derive(Deserialize)]
struct Wrapper {
    tool_uses: Vec<Use>,
}

#[derive(Deserialize)]
#[serde(try_from = "Fields")]
struct Use {
    recipient_name: String,
    parameters: Option<Box<RawValue>>,
}

/// The fields of a use, in order: none of them is there twice.
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let (mut fields, mut names) = (Vec::new(), HashSet::new());
                while let Some((name, value)) = map.next_entry::<String, _>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("`{name}` is there twice")));
                    }
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

impl TryFrom<Fields> for Use {
    type Error = &'static str;

    /// Parameters may be called arguments. Where they may stand under a name that nobody knows, the use
    /// is not read: it would run without them.
    fn try_from(mut fields: Fields) -> Result<Self, &'static str> {
        let name = fields.remove("recipient_name").ok_or("`recipient_name` is missing")?;
        let recipient_name =
            serde_json::from_str(name.get()).map_err(|_| "`recipient_name` is no text")?;
        let [parameters, arguments] = ["parameters", "arguments"]
            .map(|name| fields.remove(name).filter(|value| value.get() != "null"));
        let may_be_some = |value: &RawValue| {
            value.get().trim_start_matches(|c: char| c == '"' || c.is_whitespace()).starts_with('{')
        };
        match (parameters, arguments) {
            (Some(_), Some(_)) => Err("`parameters` and `arguments` are the same"),
            (None, None) if fields.0.iter().any(|(_, value)| may_be_some(value)) => {
                Err("the arguments belong into `parameters`")
            }
            (parameters, arguments) => {
                Ok(Self { recipient_name, parameters: parameters.or(arguments) })
            }
        }
    }
}

/// Says whether a call of `name` is none of a tool, but holds calls.
pub(super) fn is_wrapper(name: &str, catalogue: &dyn Catalogue) -> bool {
    names::is_wrapper(name) && catalogue.own_name(name).is_none()
}

/// The `calls` of a reply, with the uses of each wrapper in its place. A wrapper that cannot be read,
/// or has no uses, stays, and is refused; so is one within another, and one with more uses than a
/// reply may hold calls, those of the other wrappers included.
///
/// The uses have ids that no other call of the reply has: the wrapper's, a dot and a number.
pub(super) fn unwrapped(calls: Vec<Call>, catalogue: &dyn Catalogue) -> Vec<Unwrapped> {
    let is_wrapper = |name: &str| is_wrapper(name, catalogue);
    let whole = |call| Unwrapped { call, part_of: None, refused: None };
    if !calls.iter().any(|call| is_wrapper(&call.name)) {
        return calls.into_iter().map(whole).collect();
    }
    let mut room = MAX_CALLS.saturating_sub(calls.len());
    let mut taken: HashSet<Arc<str>> = calls.iter().map(|call| Arc::clone(&call.id)).collect();
    let mut all = Vec::new();
    for call in calls {
        let uses = call.arguments.object().filter(|_| is_wrapper(&call.name)).map(uses);
        match uses {
            None => all.push(whole(call)),
            Some(Err(outcome)) => all.push(Unwrapped { refused: Some(outcome), ..whole(call) }),
            Some(Ok(uses)) if uses.len() > room + 1 => {
                all.push(Unwrapped { refused: Some(too_many()), ..whole(call) });
            }
            Some(Ok(uses)) => {
                room -= uses.len() - 1; // There is at least one.
                let mut numbers = 1u32..;
                for one in uses {
                    let ids = numbers.by_ref().map(|number| format!("{}.{number}", call.id).into());
                    let id = ids.into_iter().find(|id| !taken.contains(id));
                    let id: Arc<str> = id.expect("there are more numbers than calls");
                    taken.insert(Arc::clone(&id));
                    let refused = is_wrapper(&one.recipient_name).then(nested);
                    let part_of = Some(Arc::clone(&call.id));
                    all.push(Unwrapped { call: one.into_call(id), part_of, refused });
                }
            }
        }
    }
    all
}

/// What a wrapper with these `arguments` asks for.
fn uses(arguments: &str) -> Result<Vec<Use>, Outcome> {
    let bad = |reason: &str| {
        let message = format!(
            "these are no calls: {reason}; call the tools themselves, several in one reply"
        );
        Outcome::failed(OutcomeKind::BadArguments, message)
    };
    match serde_json::from_str(arguments) {
        Ok(Wrapper { tool_uses }) if tool_uses.is_empty() => Err(bad("`tool_uses` is empty")),
        Ok(Wrapper { tool_uses }) => Ok(tool_uses),
        Err(error) => Err(bad(&error.to_string())),
    }
}

fn too_many() -> Outcome {
    let message = format!("a reply may hold {MAX_CALLS} calls at most; none of these was run");
    Outcome::failed(OutcomeKind::Denied, message)
}

fn nested() -> Outcome {
    Outcome::failed(OutcomeKind::BadArguments, "a list of calls within another; it was not run")
}

impl Use {
    fn into_call(self, id: Arc<str>) -> Call {
        let parameters = self.parameters.as_deref().map_or("{}", RawValue::get);
        Call {
            id,
            name: self.recipient_name,
            arguments: Arguments::from_text(parameters.to_owned()),
            extra: Extra::default(),
            function_extra: Extra::default(),
        }
    }
}

/// What became of one use, as the model is told.
#[derive(Serialize)]
struct Part<'a> {
    tool: &'a str,
    #[serde(flatten)]
    end: End<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum End<'a> {
    Result(&'a str),
    Error(&'a str),
}

impl<'a> Part<'a> {
    fn new(call: &'a AskedCall, outcome: Option<&'a Outcome>) -> Self {
        let content = outcome.map_or("", |outcome| &outcome.content);
        let end = match outcome.is_some_and(Outcome::is_ok) {
            true => End::Result(content),
            false => End::Error(content.strip_prefix("error: ").unwrap_or(content)),
        };
        Self { tool: &call.tool, end }
    }
}

/// The one answer to a wrapper with these `parts`: a JSON list of each tool's name with its result,
/// or with what went wrong.
pub(super) fn combined(parts: &[(&AskedCall, Option<&Outcome>)]) -> String {
    let parts: Vec<_> = parts.iter().map(|(call, outcome)| Part::new(call, *outcome)).collect();
    serde_json::to_string(&parts).expect("texts are always JSON")
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::super::Effects;
    use super::super::{Refusal, plan};
    use super::*;
    use crate::conversation::{Limits, Room};
    use crate::wire::Certainty;

    const WRAPPERS: [&str; 2] = ["multi_tool_use.parallel", "functions.multi_tool_use/parallel"];

    /// Tools that take anything: `t` and what is in it.
    struct Tools(&'static [&'static str]);

    impl Catalogue for Tools {
        fn check(&self, name: &str, _: &str) -> Result<Arc<str>, Refusal> {
            self.own_name(name).ok_or(Refusal::UnknownTool { known: Vec::new() })
        }

        fn own_name(&self, written: &str) -> Option<Arc<str>> {
            (written == "t" || self.0.contains(&written)).then(|| written.into())
        }

        fn begins(&self, _: &str) -> Option<Certainty> {
            None
        }

        fn effects(&self, _: &str) -> Effects {
            Effects::None
        }

        fn wire_name<'a>(&'a self, written: &'a str) -> Cow<'a, str> {
            written.into()
        }
    }

    fn call(id: &str, name: &str, arguments: &str) -> Call {
        let arguments = Arguments::from_text(arguments.to_owned());
        let (id, name) = (id.into(), name.to_owned());
        Call { id, name, arguments, extra: Extra::default(), function_extra: Extra::default() }
    }

    /// The calls that become of `calls`, each as `id tool arguments kind`.
    fn planned(calls: Vec<Call>, tools: &Tools) -> Vec<String> {
        let show = |call: &AskedCall| {
            let kind = call.refused.as_ref().map_or("runs", |refused| refused.kind.as_str());
            format!("{} {} {} {kind}", call.id, call.tool, call.arguments)
        };
        plan(calls, tools, &Limits::default(), &Room::of_rounds(1)).iter().map(show).collect()
    }

    const TWO: &str = r#"{"tool_uses": [{"recipient_name": "t", "parameters": {"a" : 1}, "x": 0},
        {"recipient_name": "t"}]}"#;

    #[test]
    fn d30_a_use_may_call_its_parameters_arguments_and_nothing_else() {
        let planned = |one: &str| {
            let uses = format!(r#"{{"tool_uses":[{{"recipient_name":"t",{one}}}]}}"#);
            planned(vec![call("a", WRAPPERS[0], &uses)], &Tools(&[]))
        };
        assert_eq!(planned(r#""arguments":{"a":1}"#), [r#"a.1 t {"a":1} runs"#]);
        assert_eq!(planned(r#""parameters":null,"x":0"#), ["a.1 t {} runs"]);
        for unclear in [
            r#""input":{"a":1}"#,
            r#""args":"{\"a\":1}""#,
            r#""parameters":{"a":1},"parameters":{"a":2}"#,
            r#""parameters":{"a":1},"arguments":{"a":2}"#,
            r#""recipient_name":"u","parameters":{"a":1}"#,
        ] {
            let [one] = &planned(unclear)[..] else { panic!("{unclear}") };
            assert!(one.ends_with(" bad_arguments"), "{one}");
        }
    }

    #[test]
    fn d30_each_use_is_a_call_in_the_place_of_its_wrapper() {
        for name in WRAPPERS {
            let calls = vec![call("a", "t", "{}"), call("b", name, TWO), call("c", "t", "{}")];
            let expected =
                ["a t {} runs", r#"b.1 t {"a" : 1} runs"#, "b.2 t {} runs", "c t {} runs"];
            assert_eq!(planned(calls, &Tools(&[])), expected);
        }
    }

    #[test]
    fn d30_a_tool_that_is_called_so_is_no_wrapper() {
        let calls = vec![call("a", WRAPPERS[0], r#"{"tool_uses":[]}"#)];
        let expected = [format!(r#"a {} {{"tool_uses":[]}} runs"#, WRAPPERS[0])];
        assert_eq!(planned(calls, &Tools(&[WRAPPERS[0]])), expected);
    }

    #[test]
    fn d30_an_id_that_another_call_has_is_passed_over() {
        let calls = vec![
            call("a.2", "t", "{}"),
            call("a", WRAPPERS[0], TWO),
            call("a.1", WRAPPERS[0], TWO),
        ];
        let ids: Vec<_> = plan(calls, &Tools(&[]), &Limits::default(), &Room::of_rounds(1))
            .iter()
            .map(|call| call.id.to_string())
            .collect();
        assert_eq!(ids, ["a.2", "a.3", "a.4", "a.1.1", "a.1.2"]);
    }

    #[test]
    fn d30_a_wrapper_within_another_is_not_run() {
        let arguments = format!(
            r#"{{"tool_uses":[{{"recipient_name":"{}","parameters":{{}}}},{{"recipient_name":"t"}}]}}"#,
            WRAPPERS[0]
        );
        let expected =
            [format!("a.1 {} {{}} bad_arguments", WRAPPERS[0]), "a.2 t {} runs".to_owned()];
        assert_eq!(planned(vec![call("a", WRAPPERS[1], &arguments)], &Tools(&[])), expected);
    }

    #[test]
    fn d30_what_is_no_list_of_calls_is_refused_as_a_whole() {
        for arguments in [
            "{}",
            r#"{"tool_uses":[]}"#,
            r#"{"tool_uses":{}}"#,
            r#"{"tool_uses":[{"parameters":{}}]}"#,
            r#"{"tool_uses":[{"recipient_name":"t"},{"recipient_name":1}]}"#,
            r#"{"tool_uses":["t"]}"#,
        ] {
            let expected = [format!("a {} {arguments} bad_arguments", WRAPPERS[1])];
            assert_eq!(planned(vec![call("a", WRAPPERS[1], arguments)], &Tools(&[])), expected);
        }
        let expected = [format!("a {} [1] bad_arguments", WRAPPERS[0])];
        assert_eq!(planned(vec![call("a", WRAPPERS[0], "[1]")], &Tools(&[])), expected);
    }

    /// A wrapper with so many uses, all of the tool `t`.
    fn many(id: &str, uses: usize) -> Call {
        let uses = vec![r#"{"recipient_name":"t"}"#; uses].join(",");
        call(id, WRAPPERS[0], &format!(r#"{{"tool_uses":[{uses}]}}"#))
    }

    #[test]
    fn d30_a_wrapper_holds_no_more_calls_than_a_reply_may() {
        let planned = |calls| plan(calls, &Tools(&[]), &Limits::default(), &Room::of_rounds(1));
        assert_eq!(planned(vec![many("a", MAX_CALLS)]).len(), MAX_CALLS);
        let asked = planned(vec![many("a", MAX_CALLS + 1)]);
        let [one] = &asked[..] else { panic!("{} calls", asked.len()) };
        assert_eq!((&*one.id, &one.part_of), ("a", &None));
        assert_eq!(one.refused.as_ref().map(|outcome| outcome.kind), Some(OutcomeKind::Denied));
    }

    #[test]
    fn d30_the_uses_of_all_wrappers_count_together() {
        let calls = vec![
            many("a", MAX_CALLS - 6),
            call("b", "t", "{}"),
            many("c", 5),
            many("d", 3),
            call("e", "t", "{}"),
        ];
        let asked = plan(calls, &Tools(&[]), &Limits::default(), &Room::of_rounds(1));
        assert_eq!(asked.len(), MAX_CALLS);
        let last: Vec<_> = asked.iter().rev().take(5).map(|call| &*call.id).collect();
        assert_eq!(last, ["e", "d.3", "d.2", "d.1", "c"], "the second one is too many");
    }

    fn some_arguments() -> impl Strategy<Value = String> {
        let parameters = prop_oneof!["null", "[1]", r#"\{"a":1\}"#, r#""x""#];
        let one = (prop_oneof!["t", "u", "multi_tool_use.parallel", ""], parameters);
        let uses = proptest::collection::vec(one, 0..5).prop_map(|uses| {
            let one = |(name, parameters)| {
                format!(r#"{{"recipient_name":"{name}","parameters":{parameters}}}"#)
            };
            let uses: Vec<_> = uses.into_iter().map(one).collect();
            format!(r#"{{"tool_uses":[{}]}}"#, uses.join(","))
        });
        prop_oneof![4 => uses, 1 => any::<String>()]
    }

    proptest! {
        #[test]
        fn every_call_is_answered_once_and_no_id_is_there_twice(
            given in proptest::collection::btree_map("[a.12]{1,3}",
                (prop_oneof!["t", "multi_tool_use.parallel"], some_arguments()), 0..6)
        ) {
            let calls = given.iter().map(|(id, (name, text))| call(id, name, text)).collect();
            let asked = plan(calls, &Tools(&[]), &Limits::default(), &Room::of_rounds(1));
            let ids: HashSet<&str> = asked.iter().map(|call| &*call.id).collect();
            prop_assert_eq!(ids.len(), asked.len());
            let mut answered: Vec<&str> =
                asked.iter().map(|call| &**call.part_of.as_ref().unwrap_or(&call.id)).collect();
            answered.dedup();
            let expected: Vec<&str> = given.keys().map(String::as_str).collect();
            prop_assert_eq!(answered, expected);
        }
    }
}
