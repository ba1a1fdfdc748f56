//! What tools are called: by those who made them, on the wire, and by models that get it wrong.

use std::sync::Arc;

use callsheet::testing::{self, Scripted, reply};
use callsheet::tools::SetError;
use callsheet::{Effects, SessionOptions, ToolSet, ToolType};
use serde_json::json;

use crate::support::listening::{Listening, is_taken_by_all};
use crate::support::{dynamic, limits, outcomes, stage};

/// A tool that answers with its name.
fn named(name: &str) -> ToolType {
    let own = name.to_owned();
    let parameters = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let answer = move |_, _| {
        let own = own.clone();
        async move { Ok(own) }
    };
    dynamic(name, parameters, answer).effects(Effects::None)
}

/// The names that the calls of the last request's history have.
fn in_the_history(model: &testing::ScriptedModel) -> Vec<String> {
    let history = model.requests().pop().unwrap_or_default();
    let calls = history.into_iter().flat_map(|message| message.calls);
    calls.map(|call| call.name).collect()
}

/// Has a model ask for `written`, with `own` tools; gives what was told, and the names in the
/// report and in the history.
fn asked(written: &str, own: &[&str]) -> (String, String, String) {
    testing::run(async {
        let script = [reply().call(written, "{}"), reply().text("done")];
        let stage = stage(script, own.iter().map(|name| named(name)));
        let answer = stage.ask().await; // No name in it that a provider would refuse.
        let reported = answer.report.rounds[0].calls[0].tool.to_string();
        (stage.told().remove(0), reported, in_the_history(&stage.model).remove(0))
    })
}

/// Checks that `written` is taken for the tool `meant` of `own`, which travels as `wire`.
fn check(written: &str, own: &[&str], meant: &str, wire: &str) {
    let expected = (meant.to_owned(), meant.to_owned(), wire.to_owned());
    assert_eq!(asked(written, own), expected, "{written}");
}

#[test]
fn d30_a_name_is_looked_up_as_it_travels_and_as_it_is() {
    check("get", &["get"], "get", "get");
    check("math_sum", &["math.sum"], "math.sum", "math_sum");
    check("math.sum", &["math.sum"], "math.sum", "math_sum");
    check("math/sum", &["math.sum"], "math.sum", "math_sum");
}

#[test]
fn d30_a_prefix_that_models_are_known_to_invent_is_dropped() {
    for prefix in ["functions.", "functions:", "function.", "tools.", "default_api."] {
        check(&format!("{prefix}get"), &["get"], "get", "get");
        check(&format!("{prefix}math.sum"), &["math.sum"], "math.sum", "math_sum");
    }
    check("functions.get", &["get", "functions.get"], "functions.get", "functions_get");
}

#[test]
fn d30_an_unknown_name_is_answered_with_the_names_to_choose_from() {
    let (told, reported, wire) = asked("my.get", &["math.sum", "get"]);
    assert_eq!(told, "error: no tool named `my_get`; the tools are: math_sum, get");
    assert_eq!((&*reported, &*wire), ("my_get", "my_get"));
    let (_, _, wire) = asked(&"é".repeat(90), &["get"]);
    assert_eq!(wire, "_".repeat(64));
}

#[test]
fn a_call_that_is_refused_is_reported_under_the_tools_own_name() {
    testing::run(async {
        let calls = reply()
            .call("math_sum", r#"{"n": "one"}"#)
            .call("functions.math.sum", "[1]")
            .call("math.sum", r#"{"n": 1"#)
            .finish("length");
        let stage = stage([calls, reply().text("done")], [named("math.sum")]);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["bad_arguments", "bad_arguments", "truncated"]);
        assert!(round.calls.iter().all(|call| &*call.tool == "math.sum"), "{round:?}");
        assert_eq!(in_the_history(&stage.model), ["math_sum"; 3]);
    });
}

#[test]
fn every_name_is_offered_in_a_form_of_its_own_and_leads_to_its_tool() {
    let mcp = "io.github.example/".to_owned() + &"server_".repeat(15) + "read";
    let twin = mcp[..mcp.len() - 4].to_owned() + "list";
    let own = [&*mcp, &twin, "a.b", "a/b", "a_b", "天気", "時刻", "say \"hi\"", "plain"];
    assert!((120..=128).contains(&mcp.len()), "{}", mcp.len());
    testing::run(async {
        let tools = Arc::new(ToolSet::new(own.map(named)).unwrap());
        let model = Listening::new([]);
        let options = SessionOptions::new(model.clone(), Arc::clone(&tools)).limits(limits());
        let session = testing::runtime().session(options);
        let offered = crate::support::listening::names(tools.on_the_wire());
        let ask = |reply: Scripted, name: &String| reply.call(name, "{}");
        let calls = offered.iter().fold(reply(), ask);
        let own_names = own.iter().fold(reply(), |reply, name| reply.call(name, "{}"));
        model.script.rewrite([calls, own_names, reply().text("done")]);
        let answer = session.ask("go").await.unwrap();

        assert_eq!(model.script.violations(), Vec::<String>::new());
        for round in &answer.report.rounds {
            let called: Vec<&str> = round.calls.iter().map(|call| &*call.tool).collect();
            assert_eq!(called, own);
            let results = round.calls.iter().map(|call| call.result.as_deref().unwrap());
            assert_eq!(results.collect::<Vec<_>>(), own);
        }
        for offer in model.offers() {
            assert!(offer.iter().all(|name| is_taken_by_all(name)), "{offer:?}");
            assert_eq!(offer, offered);
        }
        assert_eq!(in_the_history(&model.script), [&offered[..], &offered[..]].concat());
        assert_eq!((&*offered[4], &*offered[8]), ("a_b", "plain"));
    });
}

#[test]
fn a_name_that_nobody_could_write_is_refused() {
    for name in ["", "a\nb", "\u{7f}"] {
        let error = ToolSet::new([named(name)]).unwrap_err();
        assert!(matches!(error, SetError::Name { .. }), "{error}");
    }
    let error = ToolSet::new([named("a.b"), named("a.b")]).unwrap_err();
    assert_eq!(error.to_string(), "two tools are named `a.b`");
}

#[test]
fn more_tools_than_providers_take_are_refused_before_anything_is_sent() {
    let tools = |count: u32| (0..count).map(|n| named(&format!("tool_{n}")));
    assert_eq!(ToolSet::new(tools(128)).unwrap().len(), 128);
    let error = ToolSet::new(tools(129)).unwrap_err();
    assert_eq!(error.to_string(), "there are more than 128 tools: `tool_128` is one too many");
    assert_eq!(ToolSet::with_most(tools(512), 512).unwrap().len(), 512);
}
