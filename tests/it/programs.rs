//! Programs as tools: what they are given, what comes of them, and that nothing of them stays. The clock
//! is the machine's.

use callsheet::testing::{Scripted, ScriptedModel, reply};
use callsheet::tools::{Program, Stdin};
use callsheet::{Answer, Effects, Runtime, Session, SessionOptions, ToolSet, ToolType};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::cli::{MockModel, Place, ends_soon, signal};
use crate::support::processes::{Pipe, ends, runs};
use crate::support::{is_cancelled, outcomes, seconds};

/// Takes `a`, `b`, `text` and a list.
fn parameters() -> Value {
    let text = json!({"type": "string"});
    json!({"type": "object", "properties": {"a": text, "b": text, "text": text,
        "list": {"type": "array", "items": text}}})
}

fn tool(program: &Program) -> ToolType {
    program.tool_type("run", "for a test", parameters()).expect("it is in order")
}

/// A shell that runs `script`.
fn shell(script: &str) -> Program {
    Program::new(
        ["sh", "-c"].into_iter().chain([script]).map(|it| it.replace('{', "{{").replace('}', "}}")),
    )
}

fn runtime() -> Runtime {
    Runtime::builder().arbiters(1).start().expect("threads")
}

fn session(runtime: &Runtime, tool: ToolType, calls: &[Value]) -> Session {
    let ask = |reply: Scripted, arguments: &Value| reply.call("run", &arguments.to_string());
    let calls = calls.iter().fold(reply(), ask);
    let model = ScriptedModel::new([calls, reply().text("done")]);
    let tools = ToolSet::new([tool]).expect("one tool").into();
    runtime.session(SessionOptions::new(model, tools))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    executor.expect("a thread").block_on(work)
}

fn ask(tool: ToolType, calls: &[Value]) -> Answer {
    let runtime = runtime();
    block_on(session(&runtime, tool, calls).ask("go")).expect("the turn ends well")
}

/// The outcome of one call, its error's code, and what the model was told.
fn call(tool: ToolType, arguments: Value) -> (&'static str, Option<String>, String) {
    let answer = ask(tool, &[arguments]);
    let round = &answer.report.rounds[0];
    let call = &round.calls[0];
    let code = call.error.as_ref().map(|error| error.code.to_string());
    let told = call.result.as_ref().expect("it is answered").to_string();
    (outcomes(round)[0], code, told)
}

#[track_caller]
fn check(program: &Program, arguments: Value, expected: &str) {
    let (outcome, _, told) = call(tool(program), arguments);
    assert_eq!((outcome, &*told), ("ok", expected));
}

/// Fails, and says all of `words`.
#[track_caller]
fn check_failure(program: &Program, arguments: Value, outcome: &str, words: &[&str]) -> String {
    let (found, _, told) = call(tool(program), arguments);
    assert_eq!(found, outcome, "{told}");
    words.iter().for_each(|word| assert!(told.contains(word), "`{word}` is not in: {told}"));
    told
}

#[test]
fn a_program_is_given_its_arguments_and_its_input_and_its_output_is_the_result() {
    let count = Program::new(["wc", "-w"]).stdin(Stdin::Text("{text}".into()));
    check(&count, json!({"text": "one two  three"}), "3");
    let json = Program::new(["cat"]).stdin(Stdin::Json);
    check(&json, json!({"a": "x"}), r#"{"a":"x"}"#);
    check(&Program::new(["cat"]), json!({"a": "x"}), "");
    let text = Program::new(["cat"]).stdin(Stdin::Text("{a}: {{{b}}}\n\n".into()));
    check(&text, json!({"a": "x", "b": "y"}), "x: {y}\n");
    let echo = Program::new(["echo", "--", "{a}", "{list}"]);
    check(&echo, json!({"a": "$HOME; `id`", "list": ["*", "-n"]}), "-- $HOME; `id` * -n");
}

#[test]
fn what_a_program_says_when_it_fails_is_told() {
    let fails = shell("echo out; echo 'no such city' >&2; exit 3");
    let told = check_failure(&fails, json!({}), "tool_error", &["`sh` ended with exit code 3"]);
    assert!(told.ends_with("the end of its standard error:\nno such city"), "{told}");
    let words = ["exit code 1; the end of its standard output:\nonly this"];
    check_failure(&shell("echo only this; exit 1"), json!({}), "tool_error", &words);
    let words = ["exit code 1, and said nothing"];
    check_failure(&Program::new(["false"]), json!({}), "tool_error", &words);
    let words = ["was ended by signal 15 SIGTERM"];
    check_failure(&shell("kill -TERM $$"), json!({}), "tool_error", &words);
    let long = shell("i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1");
    let told = check_failure(&long, json!({}), "tool_error", &["[…]\nline ", "\nline 2999"]);
    assert!(told.len() < 5_000, "{told}");
}

#[test]
fn what_is_not_text_is_described() {
    let binary = shell(r"printf 'GIF89a\377\000'");
    check(
        &binary,
        json!({}),
        "[8 bytes that are not text are not shown here; it looks like a GIF image]",
    );
}

#[test]
fn a_program_that_cannot_run_is_answered_in_a_line() {
    let check = |program: &Program, expected: &str| {
        let (outcome, code, told) = call(tool(program), json!({}));
        assert_eq!((outcome, code.as_deref()), ("unavailable", Some("no_program")));
        assert_eq!(told, format!("error: {expected}"));
    };
    let missing = "there is no program `callsheet-none` in the directories of PATH";
    check(&Program::new(["callsheet-none"]), missing);
    check(&Program::new(["/none/at/all"]), "there is no program `/none/at/all`");
    check(&Program::new(["/dev/null"]), "there is no program `/dev/null`");
    let place = Place::new().file("text", "no program");
    let text = Program::new(["./text"]).cwd(place.path(""));
    check(&text, "`./text` cannot be run");
    let words = "`true` cannot run: there is no directory /none/at/all";
    check(&Program::new(["true"]).cwd("/none/at/all"), words);
    let own_path = Program::new(["true"]).env("PATH", "/none");
    check(&own_path, "there is no program `true` in the directories of PATH");
}

#[test]
fn a_program_runs_in_its_directory_and_is_found_from_there() {
    let place = Place::new().file("say", "#!/bin/sh\ncat word\n").file("word", "hello");
    let script = place.path("say");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    check(&Program::new(["./say"]).cwd(place.path("")), json!({}), "hello");
}

#[test]
fn a_value_that_looks_like_an_option_never_reaches_a_program() {
    let place = Place::new();
    let mark = place.path("ran").display().to_string();
    let program = Program::new(["touch", "{a}", mark.as_str()]);
    check_failure(
        &program,
        json!({"a": "-d"}),
        "bad_arguments",
        &["`a`: a value that begins with `-`"],
    );
    check_failure(&program, json!({"a": "x\u{0}y"}), "bad_arguments", &["NUL"]);
    assert!(!place.path("ran").exists());
}

#[test]
fn arguments_that_no_program_can_be_given_are_bad() {
    let long = json!({"a": "x".repeat(3_000_000)});
    check_failure(
        &Program::new(["echo", "{a}"]),
        long,
        "bad_arguments",
        &["`echo` cannot be started"],
    );
}

#[test]
fn the_environment_is_clean_and_has_the_key_of_the_call() {
    let env = Program::new(["env"]).env("OWN", "a b=c").env("LANG", "C");
    let (_, _, told) = call(tool(&env), json!({}));
    let mut lines: Vec<_> = told.lines().map(|line| line.split_once('=').unwrap()).collect();
    lines.sort_unstable();
    let (key, rest): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|(name, _)| *name == "CALLSHEET_CALL_KEY");
    assert!(matches!(key[..], [(_, key)] if key.ends_with("/1/1/0")), "{key:?}");
    let path = std::env::var("PATH").unwrap();
    let home = std::env::var("HOME").ok();
    let home = home.iter().map(|home| ("HOME", &**home));
    let expected: Vec<_> =
        home.chain([("LANG", "C"), ("OWN", "a b=c"), ("PATH", &*path)]).collect();
    assert_eq!(rest, expected);
}

#[test]
fn a_program_need_not_read_what_it_is_given() {
    let text = json!({"text": "x".repeat(5_000_000)});
    let input = Stdin::Text("{text}".into());
    check(&Program::new(["true"]).stdin(input.clone()), text.clone(), "");
    check(&shell("exec <&-; echo done").stdin(input), text, "done");
}

#[test]
fn a_program_that_writes_everywhere_while_it_reads_is_not_stuck() {
    let script = "head -c 3000000 /dev/zero >&2 & cat; wait; head -c 3000000 /dev/zero >&2";
    let text = "0123456789".repeat(90_000);
    let program = shell(script).stdin(Stdin::Text("{text}".into()));
    let program = program.max_output_bytes(900_000);
    let (outcome, _, told) = call(tool(&program), json!({"text": text}));
    assert_eq!(outcome, "ok", "{}", &told[..100]);
    assert!(
        told.starts_with("0123456789") && told.contains("of 900000 bytes"),
        "{}",
        &told[told.len() - 300..]
    );
}

#[test]
fn too_much_output_is_an_end() {
    let place = Place::new();
    let pipe = Pipe::new(place.path("pipe"));
    let script = format!(
        "sleep 1000 & echo $! > {}; while :; do echo {}; done",
        pipe.path().display(),
        "y".repeat(1_000)
    );
    let flood = shell(&script).max_output_bytes(100_000);
    let reader = std::thread::spawn(move || pipe.read());
    let (outcome, code, told) = call(tool(&flood), json!({}));
    assert_eq!((outcome, code.as_deref()), ("tool_error", Some("output_too_large")));
    assert_eq!(told, "error: `sh` wrote more than the 100000 bytes that it may, and was ended");
    ends(&reader.join().unwrap(), false);
}

#[test]
fn a_child_that_outlives_its_program_is_gone_with_the_call() {
    // It holds both pipes.
    let answer = ask(tool(&shell("sleep 1000 & echo $!")), &[json!({})]);
    let call = &answer.report.rounds[0].calls[0];
    let child = call.result.as_ref().unwrap().to_string();
    ends(&child, false);
    assert!(call.ran < seconds(20), "it was waited for: {:?}", call.ran);
}

#[test]
fn a_child_that_has_left_the_group_is_not_waited_for() {
    let answer = ask(tool(&shell("setsid sleep 1000 & echo $!; exec sleep 0.1")), &[json!({})]);
    let call = &answer.report.rounds[0].calls[0];
    let child = call.result.as_ref().unwrap().to_string();
    assert!(call.ran < seconds(20), "it was waited for: {:?}", call.ran);
    let kill =
        std::process::Command::new("sh").args(["-c", &format!("kill -KILL {child}")]).status();
    assert!(kill.unwrap().success(), "it was to be there still");
}

/// A program that tells its own id and that of its child, and waits for ever.
fn family(pipe: &Pipe) -> Program {
    shell(&format!("trap '' TERM; sleep 1000 & echo $$ $! > {}; wait", pipe.path().display()))
}

/// Waits until the program and its child run, and says which they are.
fn born(pipe: &Pipe) -> [String; 2] {
    let told = pipe.read();
    let (program, child) = told.split_once(' ').expect("two processes");
    assert!(runs(program) && runs(child));
    [program.to_owned(), child.to_owned()]
}

fn are_gone([program, child]: [String; 2]) {
    ends(&program, true);
    ends(&child, false);
}

#[test]
fn at_the_time_limit_a_program_and_its_child_are_gone() {
    let place = Place::new();
    let pipe = Pipe::new(place.path("pipe"));
    let tool = tool(&family(&pipe)).time_limit(seconds(2));
    let family = std::thread::spawn(move || born(&pipe));
    let runtime = runtime();
    let answer = block_on(session(&runtime, tool, &[json!({})]).ask("go")).unwrap();
    let round = &answer.report.rounds[0];
    assert_eq!(outcomes(round), ["timed_out"]);
    let told = round.calls[0].result.as_ref().unwrap();
    assert!(told.contains("may have taken effect"), "effects are `once` unless it is said: {told}");
    are_gone(family.join().unwrap());
}

#[test]
fn a_cancel_ends_a_program_and_its_child() {
    let place = Place::new();
    let pipe = Pipe::new(place.path("pipe"));
    let runtime = runtime();
    let session = session(&runtime, tool(&family(&pipe)), &[json!({})]);
    let other = session.clone();
    let canceller = std::thread::spawn(move || {
        let family = born(&pipe);
        assert!(block_on(other.cancel()));
        family
    });
    match block_on(session.ask("go")) {
        Err(callsheet::Error::Turn(failed)) => assert!(is_cancelled(&failed.cause)),
        other => panic!("the turn was to be cancelled: {other:?}"),
    }
    are_gone(canceller.join().unwrap());
}

#[test]
fn with_the_runtime_a_program_and_its_child_are_gone() {
    let place = Place::new();
    let pipe = Pipe::new(place.path("pipe"));
    let runtime = runtime();
    let session = session(&runtime, tool(&family(&pipe)), &[json!({})]);
    let asker = std::thread::spawn(move || block_on(session.ask("go")).is_err());
    let family = born(&pipe);
    drop(runtime);
    // Killed by now, which is not a moment to lose before a process that ends.
    family.iter().for_each(|process| assert!(is_dying(process), "{process}"));
    assert!(asker.join().unwrap());
}

/// Says whether the process is gone, or has been killed and not yet heard of it.
fn is_dying(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let pending = status.lines().filter_map(|line| line.strip_prefix("ShdPnd:\t"));
    let has_kill =
        |mask: &str| u64::from_str_radix(mask, 16).is_ok_and(|mask| mask & (1 << 8) != 0);
    !runs(process) || pending.into_iter().any(has_kill)
}

#[test]
fn what_was_killed_leaves_nothing_behind_in_a_process_that_goes_on() {
    let runtime = runtime();
    let place = Place::new();
    for number in 0..20 {
        let pipe = Pipe::new(place.path(&format!("pipe{number}")));
        let session = session(&runtime, tool(&family(&pipe)), &[json!({})]);
        let other = session.clone();
        let canceller = std::thread::spawn(move || {
            let family = born(&pipe);
            block_on(other.cancel());
            family
        });
        assert!(block_on(session.ask("go")).is_err());
        are_gone(canceller.join().unwrap());
    }
}

#[test]
fn a_program_may_be_tried_again_and_many_run_at_a_time() {
    let place = Place::new();
    let script =
        format!("cd {}; echo x >> tries; [ $(wc -l < tries) -ge 3 ]", place.path("").display());
    let tool = tool(&shell(&script)).effects(Effects::Idempotent).retries(3);
    let answer = ask(tool, &[json!({})]);
    let round = &answer.report.rounds[0];
    assert_eq!((outcomes(round), round.calls[0].attempts), (vec!["ok"], 3));

    // Each waits for the others: in a row they would never end.
    let pipe = Pipe::new(place.path("pipe"));
    let meet = format!(
        "exec 3<>{}; echo here >&3; while [ $(ls {} | grep -c in) -lt 3 ]; do :; done",
        pipe.path().display(),
        place.path("").display()
    );
    let script = format!("touch {}/in$$; {meet}", place.path("").display());
    let answer = ask(
        self::tool(&shell(&script)),
        &[json!({"a": "1"}), json!({"a": "2"}), json!({"a": "3"})],
    );
    assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok", "ok"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_program_sees_each_argument_as_one_element(a in "[^\u{0}-][^\u{0}]{0,20}", list in proptest::collection::vec("[^\u{0}]{0,20}", 0..4)) {
        let program = Program::new(["sh", "-c", r#"printf '%s\000' "$@""#, "sh", "{a}", "--", "{list}", "x={a}"]);
        let (outcome, _, told) = call(tool(&program), json!({"a": a, "list": list}));
        prop_assert_eq!(outcome, "ok");
        let mut expected = vec![a.clone(), "--".to_owned()];
        expected.extend(list);
        expected.extend([format!("x={a}"), String::new()]);
        prop_assert_eq!(told.split('\0').map(str::to_owned).collect::<Vec<_>>(), expected);
    }
}

mod binary {
    use super::*;

    const COUNT: &str = r#"
[[tools]]
name = "word_count"
kind = "command"
description = "Counts words of a text"
argv = ["wc", "-w"]
stdin = "{text}"
parameters = { type = "object", properties = { text = { type = "string" } }, required = ["text"] }
effects = "none"
"#;

    #[test]
    fn a_program_of_the_settings_is_listed_and_called() {
        let place = Place::new().file("config.toml", COUNT);
        let ended =
            place.run(&["tools", "call", "word_count", r#"{"text": "one two three"}"#]).with(0);
        assert_eq!(ended.stdout, "3\n");
        let list = place.run(&["tools", "list", "--json"]).with(0).json();
        assert_eq!((&list[0]["kind"], &list[0]["effects"]), (&json!("command"), &json!("none")));
        let ended = place.run(&["tools", "call", "word_count", "{}"]).with(1);
        assert!(ended.stdout.contains("text"), "{ended:#?}");
    }

    #[test]
    fn a_program_that_cannot_be_made_a_tool_is_left_out_with_a_line() {
        for (settings, problem) in [
            ("argv = []", "`argv` names no program"),
            ("stdin = \"json\"", "`argv` names no program"),
            (
                "argv = [\"{a}\"]",
                "`argv[0]`, the program, is fixed and cannot have a placeholder: {a}",
            ),
            (
                "argv = [\"echo\", \"{b}\"]",
                "`argv[1]` has the placeholder `{b}`, and `parameters` no property of that name",
            ),
            (
                "argv = [\"cat\"]\nstdin = \"{b}\"",
                "`stdin` has the placeholder `{b}`, and `parameters` no property of that name",
            ),
            ("argv = [\"cat\", \"{\"]", "`argv[1]` has a brace of no placeholder; write it twice"),
            (
                "argv = [\"cat\"]\nenv = { K = \"${env:NONE}\" }",
                "`env.K` needs the environment variable `NONE`, which is not set",
            ),
            (
                "argv = [\"cat\"]\nenv = { \"A=B\" = \"\" }",
                "`env` has a variable that cannot be: `A=B`",
            ),
        ] {
            let bad = format!("{COUNT}[[tools]]\nname = \"bad\"\nkind = \"command\"\n{settings}\n");
            let place = Place::new().file("config.toml", &bad);
            let ended = place.run(&["tools", "list", "--json"]).with(0);
            assert_eq!(ended.json().as_array().unwrap().len(), 1);
            let line = format!("the tool `bad` is left out: {problem} (`tools[1]` in ");
            assert!(
                ended.stderr.starts_with(&line) && ended.stderr.lines().count() == 1,
                "{ended:#?}"
            );
            assert_eq!(place.run(&["config", "check"]).code, Some(2));
        }
    }

    #[test]
    fn a_program_is_found_in_its_directory_by_a_relative_path() {
        let settings = "[[tools]]\nname = \"x\"\nkind = \"command\"\nargv = [\"./say\", \"hello\"]\ncwd = \"sub\"\n";
        let place = Place::new().file("config.toml", settings);
        std::fs::create_dir(place.path("sub")).unwrap();
        std::os::unix::fs::symlink("/bin/echo", place.path("sub/say")).unwrap();
        let ended = place.run(&["tools", "call", "x"]).with(0);
        assert_eq!(ended.stdout, "hello\n");
    }

    #[test]
    fn a_tool_whose_parameters_are_no_schema_is_left_out_and_the_others_go_on() {
        let bad =
            format!("{COUNT}[[tools]]\nname = \"bad\"\nparameters = {{ type = \"array\" }}\n");
        let place = Place::new().file("config.toml", &bad);
        let ended = place.run(&["tools", "list", "--json"]).with(0);
        assert_eq!(ended.json().as_array().unwrap().len(), 1);
        let line = "the tool `bad` is left out: the parameters of the tool `bad` are not a JSON Schema of an object";
        assert!(ended.stderr.starts_with(line), "{ended:#?}");
        assert!(ended.stderr.contains("(`tools[1]` in "), "{ended:#?}");
    }

    #[test]
    fn a_program_sees_no_secret_but_those_declared_and_none_is_shown() {
        let settings = "[[tools]]\nname = \"env\"\nkind = \"command\"\nargv = [\"env\"]\n\
            env = { GIVEN = \"of ${env:FIRST_SECRET}\", API_TOKEN = \"plain-word\" }\n";
        let place = Place::new()
            .file("config.toml", settings)
            .variable("FIRST_SECRET", "sk-first-secret")
            .variable("OPENROUTER_API_KEY", "sk-second-secret");
        let ended = place.run(&["tools", "call", "env", "{}"]).with(0);
        let names: Vec<_> = ended
            .stdout
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name)
            .collect();
        let mut names = names;
        names.sort_unstable();
        assert_eq!(names, ["API_TOKEN", "CALLSHEET_CALL_KEY", "GIVEN", "PATH"]);
        let shown = place.run(&["config", "show"]).with(0).stdout;
        assert!(shown.contains("GIVEN = \"of ${env:FIRST_SECRET}\""), "{shown}");
        assert!(!shown.contains("plain-word") && !shown.contains("first-secret"), "{shown}");
    }

    #[test]
    fn a_secret_that_a_program_lets_out_is_not_told() {
        let settings = "[store]\nurl = \"sqlite:s.db\"\n[[tools]]\nname = \"leak\"\nkind = \"command\"\n\
            argv = [\"sh\", \"-c\", \"echo token $TOKEN $MODEL_KEY; echo $TOKEN | base64\"]\n\
            env = { TOKEN = \"${env:FIRST_SECRET}\", MODEL_KEY = \"sk-model-key\" }\n";
        let script = "[[reply]]\ncalls = [{ name = \"leak\", arguments = {} }]\n[[reply]]\ntext = \"done\"\n";
        let place = Place::new()
            .file("config.toml", settings)
            .file("script.toml", script)
            .variable("FIRST_SECRET", "first-secret")
            .variable("OPENROUTER_API_KEY", "sk-model-key");
        let model = MockModel::start(&place, Some("script.toml"));
        let key = "model.api_key_env=OPENROUTER_API_KEY";
        let asked =
            place.run(&["ask", "go", "--json", "--set", &model.setting(), "--set", key]).with(0);
        let result = asked.json()["rounds"][0]["calls"][0]["result"].clone();
        assert_eq!(result, "token [secret] [secret]\n[secret]Cg==");
        let called = place.run(&["tools", "call", "leak", "{}"]).with(0);
        assert_eq!(called.stdout, "token [secret] [secret]\n[secret]Cg==\n");
        for (name, bytes) in place.files() {
            let tells =
                |secret: &str| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            let is_ours = name.contains("config.toml");
            assert!(is_ours || !tells("first-secret") && !tells("sk-model-key"), "{name}");
        }
    }

    #[test]
    fn doctor_looks_for_each_program() {
        let missing =
            "[[tools]]\nname = \"gone\"\nkind = \"command\"\nargv = [\"callsheet-none\"]\n";
        let place = Place::new().file("config.toml", &format!("{COUNT}{missing}"));
        let ended = place.run(&["doctor", "--json"]).with(1);
        let document = ended.json();
        let programs =
            document.as_array().unwrap().iter().filter(|check| check["check"] == "program");
        let programs: Vec<_> = programs
            .map(|check| (check["status"].as_str().unwrap(), check["message"].as_str().unwrap()))
            .collect();
        assert!(
            programs[0].0 == "ok" && programs[0].1.starts_with("word_count: /"),
            "{programs:?}"
        );
        let message = "gone: there is no program `callsheet-none` in the directories of PATH";
        assert_eq!(programs[1], ("fail", message));
    }

    #[test]
    fn a_hundred_megabytes_of_output_take_no_memory() {
        let tool = |name: &str, script: &str| {
            format!(
                "[[tools]]\nname = \"{name}\"\nkind = \"command\"\nargv = [\"sh\", \"-c\", \"{script}\"]\n"
            )
        };
        let settings = [
            "turn.mode = \"sequential\"\n".to_owned(),
            tool("peak", "grep VmHWM /proc/$PPID/status"),
            tool("out", "head -c 100000000 /dev/zero"),
            tool("err", "head -c 100000000 /dev/zero >&2"),
        ];
        let script = "[[reply]]\ncalls = [{ name = \"peak\", arguments = {} }, { name = \"out\", arguments = {} }, \
            { name = \"err\", arguments = {} }, { name = \"peak\", arguments = {} }]\n[[reply]]\ntext = \"done\"\n";
        let place =
            Place::new().file("config.toml", &settings.concat()).file("script.toml", script);
        let model = MockModel::start(&place, Some("script.toml"));
        let document =
            place.run(&["ask", "go", "--json", "--set", &model.setting()]).with(0).json();
        let calls = document["rounds"][0]["calls"].as_array().unwrap();
        let outcomes: Vec<_> = calls.iter().map(|call| call["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["ok", "tool_error", "ok", "ok"]);
        assert_eq!(calls[1]["error"]["code"], "output_too_large");
        let peak = |call: &Value| -> u64 {
            let words = call["result"].as_str().unwrap().split_whitespace().nth(1).unwrap();
            words.parse().unwrap()
        };
        let grown = peak(&calls[3]) - peak(&calls[0]);
        assert!(grown < 10_000, "{grown} KiB more than before");
    }

    #[test]
    fn a_process_that_is_ended_takes_its_programs_along() {
        let place = Place::new();
        let pipe = Pipe::new(place.path("pipe"));
        let script = "trap '' TERM; sleep 1000 & echo $$ $! > pipe; wait";
        let settings = format!(
            "[[tools]]\nname = \"wait\"\nkind = \"command\"\nargv = [\"sh\", \"-c\", \"{script}\"]\n"
        );
        let place = place.file("config.toml", &settings);
        for times in [1, 2] {
            let child =
                place.command(&["tools", "call", "wait", "{}"]).spawn().expect("the binary runs");
            let [program, grandchild] = born(&pipe);
            (0..times).for_each(|_| signal(&child, "TERM"));
            ends_soon(child).with(130);
            ends(&program, false);
            ends(&grandchild, false);
        }
    }
}
