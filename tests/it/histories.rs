//! What goes back to a model: what it wrote itself as it wrote it, and to others what they understand.

use std::sync::{Arc, Mutex};

use callsheet::model::{Dialect, EmptyContent, Error, Event, Events, IdRule, Model, Request};
use callsheet::testing::{self, Scripted, ScriptedModel, failure, reply, streamed};
use callsheet::wire::chat;
use callsheet::{Limits, ModelRetries, Session, SessionOptions, ToolSet};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::{limits, seconds, sleeper};

/// A reply with a call, a signature on it, and thoughts, as a provider streams it.
fn signed() -> Scripted {
    let call = json!({"index": 0, "id": "call_a", "function": {"name": "sleep", "arguments": "{\"s\": 1}"},
        "extra_content": {"google": {"thought_signature": "sig"}}});
    let chunk = |delta: Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        (seconds(0), format!("data: {}\n\n", json!({"choices": [choice]})))
    };
    streamed([
        chunk(json!({"reasoning_content": "I th"}), None),
        chunk(json!({"reasoning_content": "ink"}), None),
        chunk(json!({"tool_calls": [call]}), None),
        chunk(json!({}), Some("tool_calls")),
    ])
}

fn lost() -> Scripted {
    failure(Error::UnknownModel { url: "u".into(), model: "m".into(), message: "gone".into() })
}

fn done() -> Scripted {
    reply().text("done")
}

fn session(models: &[&Arc<ScriptedModel>]) -> Session {
    let tools = Arc::new(ToolSet::new([sleeper()]).expect("the tool is well formed"));
    let mut options = SessionOptions::new(models[0].clone(), tools).limits(limits());
    options = options.model_retries(ModelRetries::none());
    for model in &models[1..] {
        options = options.fallback((*model).clone());
    }
    testing::runtime().session(options)
}

#[test]
fn thoughts_and_signatures_go_back_to_the_model_they_came_from_unchanged() {
    testing::run(async {
        let model = ScriptedModel::new([signed(), done()]);
        session(&[&model]).ask("go").await.unwrap();
        let expected = r#"{"role":"assistant","tool_calls":[{"id":"call_a","type":"function","function":{"name":"sleep","arguments":"{\"s\": 1}"},"extra_content":{"google":{"thought_signature":"sig"}}}],"reasoning_content":"I think"}"#;
        assert!(model.last_history().contains(expected), "{}", model.last_history());
    });
}

#[test]
fn another_model_is_told_what_anybody_understands_and_the_first_gets_its_own_back() {
    testing::run(async {
        let first = ScriptedModel::new([signed(), lost(), done()]);
        let mistral = Dialect { id_rule: IdRule::Mistral, ..Dialect::generic() };
        let calls = || reply().call_with_id("x", "sleep", r#"{"s": 1}"#);
        let second = ScriptedModel::named("second", mistral, [calls(), done()]);
        let session = session(&[&first, &second]);
        session.ask("go").await.unwrap();
        let history = second.last_history();
        assert!(!history.contains("sig") && !history.contains("I think"), "{history}");
        let id = second.requests()[0][1].calls[0].id.clone();
        assert!(IdRule::Mistral.fits(&id, "sleep"), "{id}");
        assert_eq!(second.violations(), Vec::<String>::new());
        session.ask("again").await.unwrap();
        let history = first.last_history();
        assert!(history.contains("I think") && history.contains(r#""id":"call_a""#), "{history}");
        assert_eq!(first.violations(), Vec::<String>::new());
    });
}

#[test]
fn the_history_is_the_same_from_request_to_request_for_a_provider_with_rules() {
    testing::run(async {
        let dialect = Dialect {
            name_on_results: true,
            empty_content: EmptyContent::Empty,
            id_rule: IdRule::Mistral,
            ..Dialect::generic()
        };
        let calls = || reply().call_with_id("x", "sleep", r#"{"s": 1}"#);
        let model = ScriptedModel::named("m", dialect, [calls(), calls(), calls(), done()]);
        session(&[&model]).ask("go").await.unwrap();
        let history = model.last_history();
        let messages: Vec<Value> = serde_json::from_str(&format!("[{history}]")).unwrap();
        for (reply, result) in messages[1..].iter().zip(&messages[2..]).step_by(2) {
            let id = reply["tool_calls"][0]["id"].as_str().unwrap();
            assert!(IdRule::Mistral.fits(id, "sleep"), "{id}");
            assert_eq!(reply["content"], "");
            assert_eq!((&result["tool_call_id"], &result["name"]), (&json!(id), &json!("sleep")));
        }
        let counts: Vec<_> = model.requests().iter().map(Vec::len).collect();
        assert_eq!(counts, [1, 3, 5, 7]);
    });
}

#[test]
fn a_question_after_a_cut_turn_is_let_in_where_somebody_must_speak_before() {
    testing::run(async {
        let dialect = Dialect { assistant_after_results: true, ..Dialect::generic() };
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let model = ScriptedModel::named("m", dialect, [calls, lost(), done()]);
        let session = session(&[&model]);
        assert!(session.ask("go").await.is_err());
        session.ask("again").await.unwrap();
        let messages: Vec<Value> =
            serde_json::from_str(&format!("[{}]", model.last_history())).unwrap();
        let roles: Vec<_> =
            messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "assistant", "user"]);
    });
}

#[test]
fn an_id_that_comes_again_in_a_later_round_is_another_call() {
    testing::run(async {
        // As some providers do, that count from zero in each reply.
        let calls = |s: u32| reply().call_with_id("call_0", "sleep", &format!(r#"{{"s": {s}}}"#));
        let model = ScriptedModel::new([calls(1), calls(2), done()]);
        let answer = session(&[&model]).ask("go").await.unwrap();
        let results: Vec<_> = answer
            .report
            .rounds
            .iter()
            .map(|round| round.calls[0].result.as_deref().unwrap().to_owned())
            .collect();
        assert_eq!(results, ["slept 1", "slept 2"]);
        assert_eq!(model.violations(), Vec::<String>::new());
    });
}

#[test]
fn a_model_that_takes_fewer_tools_is_not_sent_the_request() {
    testing::run(async {
        let few = Dialect { max_tools: Some(0), ..Dialect::generic() };
        let first = ScriptedModel::named("few", few, [done()]);
        let second = ScriptedModel::new([done()]);
        let error = session(&[&first]).ask("go").await.expect_err("one tool is too many");
        assert!(error.to_string().contains("1 tools, it takes 0 at most"), "{error}");
        session(&[&first, &second]).ask("go").await.unwrap();
        assert_eq!((first.requests().len(), second.requests().len()), (0, 1));
    });
}

/// Asks for tools without end, and notes where in memory each history lies.
#[derive(Default)]
struct Pointing {
    places: Mutex<Vec<usize>>,
    rounds: usize,
}

impl Model for Pointing {
    fn name(&self) -> &str {
        "pointing"
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let mut places = self.places.lock().expect("nobody panics with it");
        places.push(request.messages.as_ptr() as usize);
        let body = match places.len() <= self.rounds {
            true => json!({"choices": [{"message": {"role": "assistant", "tool_calls": [
                {"id": format!("c{}", places.len()), "type": "function",
                    "function": {"name": "sleep", "arguments": r#"{"s": 0}"#}}]}}]}),
            false => json!({"choices": [{"message": {"role": "assistant", "content": "done"}}]}),
        };
        let reply = chat::decode_reply(body.to_string().as_bytes()).expect("it is a reply");
        stream::iter([Ok(Event::Reply(Box::new(reply)))]).boxed_local()
    }
}

#[test]
fn a_history_lies_where_it_lay_from_round_to_round_and_is_not_written_anew() {
    testing::run(async {
        const ROUNDS: usize = 1_000;
        let model = Arc::new(Pointing { rounds: ROUNDS, ..Pointing::default() });
        let tools = Arc::new(ToolSet::new([sleeper()]).expect("the tool is well formed"));
        let limits = Limits { max_rounds: 2 * ROUNDS as u32, ..limits() };
        let options = SessionOptions::new(model.clone(), tools).limits(limits);
        testing::runtime().session(options).ask("go").await.unwrap();
        let places = model.places.lock().unwrap();
        assert_eq!(places.len(), ROUNDS + 1);
        // It moves when it has outgrown its place, which doubles each time.
        let moves = places.windows(2).filter(|two| two[0] != two[1]).count();
        assert!(moves < 20, "it moved {moves} times");
    });
}
