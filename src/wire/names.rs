//! What models write as the name of a call that is not the name of a tool.

/// What models put before a name that they know without it: the namespaces in which models of OpenAI
/// (`functions`) and Google (`default_api`) are shown their tools while they are trained, and near
/// misses of them. No more than these: a guess that is wrong runs a tool nobody asked for, while an
/// unknown name costs one more round.
pub(crate) const NAMESPACES: [&str; 6] =
    ["functions.", "functions:", "function.", "tools.", "default_api.", "default_api:"];

/// The name of what is no tool, but packs several calls into one, as it stands in a history: models
/// write `multi_tool_use.parallel`, and repeat from the history what they find there.
const WRAPPER: &str = "multi_tool_use_parallel";

/// Says whether `name` is that of a call which holds calls, however it is punctuated, and in whatever
/// namespace.
pub(crate) fn is_wrapper(name: &str) -> bool {
    spaces().any(|space| name.len() == space.len() + WRAPPER.len() && begins(name, space))
}

/// Says whether `name` may be the beginning of such a name.
pub(crate) fn may_become_wrapper(name: &str) -> bool {
    spaces().any(|space| begins(name, space))
}

fn spaces() -> impl Iterator<Item = &'static str> {
    [""].into_iter().chain(NAMESPACES)
}

/// Says whether the wrapper's name in the namespace `space` begins with `name`, or is it.
fn begins(name: &str, space: &str) -> bool {
    let mut whole = space.bytes().chain(WRAPPER.bytes()).map(unpunctuated);
    name.bytes().map(unpunctuated).all(|byte| whole.next() == Some(byte))
}

/// An underscore for what providers do not take.
fn unpunctuated(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || byte == b'-' { byte } else { b'_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d30_a_wrapper_is_known_however_it_is_punctuated_and_in_every_namespace() {
        for name in [
            "multi_tool_use.parallel",
            "multi_tool_use_parallel",
            "multi_tool_use/parallel",
            "multi_tool_use:parallel",
            "functions.multi_tool_use.parallel",
            "functions_multi_tool_use_parallel",
            "default_api:multi_tool_use.parallel",
        ] {
            assert!(is_wrapper(name), "{name}");
            for end in 0..=name.len() {
                assert!(may_become_wrapper(&name[..end]), "{}", &name[..end]);
            }
        }
        for name in ["", "multi_tool_use", "parallel", "my_multi_tool_use.parallel"] {
            assert!(!is_wrapper(name), "{name}");
        }
        for name in ["multi_tool_use.parallel2", "multi_x", "get_weather", "functions.get"] {
            assert!(!may_become_wrapper(name), "{name}");
        }
    }
}
