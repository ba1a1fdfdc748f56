//! What a person sees of panics: a few a second, and how many more there were.

use crate::support::cli::{Ended, MockModel, Place};

/// Asks a model that wants 20 calls of a tool that panics; all of them have begun before the first
/// does.
fn storm(place: Place, arguments: &[&str]) -> Ended {
    let call = "{ name = \"break\", arguments = {} },";
    let calls = call.repeat(20);
    let script = format!("[[reply]]\ncalls = [{calls}]\n[[reply]]\ntext = \"It is broken.\"\n");
    let tools = "[[tools]]\nname = \"break\"\nkind = \"demo\"\n\
        simulate = { latency_ms = 600, panic_rate = 1 }\n";
    let place = place.file("script.toml", &script).file("config.toml", tools);
    let server = MockModel::start(&place, Some("script.toml"));
    let ask = ["ask", "break it", "--set", &server.setting()];
    place.run(&[&ask[..], arguments].concat()).with(0)
}

fn told(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| line.starts_with("callsheet: ")).collect()
}

#[test]
fn a_storm_is_told_in_a_few_lines() {
    for quiet in [&[][..], &["--quiet"]] {
        let ended = storm(Place::new(), quiet);
        assert_eq!(ended.stdout, "It is broken.\n");
        let told = told(&ended);
        let [shown @ .., rest] = &told[..] else { panic!("{ended:#?}") };
        let is_panic = |line: &&str| {
            line.starts_with("callsheet: thread `")
                && line.contains("panicked at src/tools/demo.rs:")
        };
        assert!(shown.len() == 5 && shown.iter().all(is_panic), "{ended:#?}");
        assert_eq!(*rest, "callsheet: 15 more panics were not shown");
        assert!(!ended.stderr.contains("stack backtrace"), "{ended:#?}");
    }
}

#[test]
fn only_the_first_panics_come_with_a_backtrace() {
    let ended = storm(Place::new().variable("RUST_BACKTRACE", "1"), &["--quiet"]);
    let panics: Vec<_> = ended.stderr.split("callsheet: ").skip(1).collect();
    let has_backtrace: Vec<_> = panics.iter().map(|panic| panic.contains("   0: ")).collect();
    assert_eq!(has_backtrace[..5], [true, true, true, false, false], "{ended:#?}");
    let without = storm(Place::new().variable("RUST_BACKTRACE", "0"), &["--quiet"]);
    assert_eq!(without.stderr.lines().count(), told(&without).len(), "{without:#?}");
}
