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
    let name = unpunctuated(name);
    name == WRAPPER || NAMESPACES.iter().any(|space| in_space(space, &name) == Some(WRAPPER))
}

/// Says whether `name` may be the beginning of such a name.
pub(crate) fn may_become_wrapper(name: &str) -> bool {
    let name = unpunctuated(name);
    let mut names = NAMESPACES.iter().map(|space| unpunctuated(space) + WRAPPER);
    WRAPPER.starts_with(&name) || names.any(|known| known.starts_with(&name))
}

fn in_space<'a>(space: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(&*unpunctuated(space))
}

/// With an underscore for each character that providers do not take.
fn unpunctuated(name: &str) -> String {
    let is_taken = |one: char| one.is_ascii_alphanumeric() || one == '-';
    name.chars().map(|one| if is_taken(one) { one } else { '_' }).collect()
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
