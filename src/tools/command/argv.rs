//! The argument vector of a program: a fixed program, and elements with places for arguments. Each value
//! stays within its element, whatever it is; there is no shell.

use serde_json::Value;

use super::arguments::Arguments;
use super::error::ProgramError;
use crate::tools::Error;
use crate::tools::places::{Misplaced, Piece, Places};

/// The argument vector of a program that answers calls.
#[derive(Clone, Debug)]
pub(super) struct Argv {
    pub program: String,
    elements: Vec<Element>,
}

#[derive(Clone, Debug)]
struct Element {
    template: Places,
    /// It is a list of which each item is an element.
    spreads: bool,
    /// It stands after `--`, so that the program takes nothing in it for an option.
    is_operand: bool,
}

impl Argv {
    /// Takes `argv` apart, for arguments with the JSON Schema `parameters`.
    pub fn new(argv: &[String], parameters: &Value) -> Result<Self, ProgramError> {
        let (first, rest) = argv.split_first().ok_or(ProgramError::NoProgram)?;
        let at = |index: usize| format!("argv[{index}]");
        let program = match template(&at(0), first)?.pieces() {
            [] => return Err(ProgramError::NoProgram),
            [Piece::Text(program)] => program.clone(),
            _ => return Err(ProgramError::ProgramVaries { program: first.clone() }),
        };
        let (mut elements, mut is_operand) = (Vec::new(), false);
        for (index, text) in rest.iter().enumerate() {
            let template = template_for(&at(index + 1), text, parameters)?;
            let spreads = template.lone_argument().is_some_and(|name| is_list(name, parameters));
            elements.push(Element { template, spreads, is_operand });
            is_operand = is_operand || text == "--";
        }
        Ok(Self { program, elements })
    }

    /// What the program is given with `arguments`, itself not counted.
    pub fn fill(&self, arguments: &Arguments) -> Result<Vec<String>, Error> {
        let mut filled = Vec::new();
        for element in &self.elements {
            let begin = filled.len();
            match element.template.lone_argument() {
                Some(name) if element.spreads => filled.extend(arguments.items(name)?),
                _ => filled.extend(arguments.fill(&element.template)?),
            }
            filled[begin..].iter().try_for_each(|text| element.check(text))?;
        }
        Ok(filled)
    }
}

impl Element {
    /// Refuses what is no operand of the settings' own making but would be taken for an option, and
    /// what no program can be given.
    fn check(&self, text: &str) -> Result<(), Error> {
        let names = || {
            let names: Vec<_> = self.template.arguments().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        };
        if text.contains('\0') {
            return Err(Error::bad_arguments(format!("{}: there is a NUL in it", names())));
        }
        if text.starts_with('-') && !self.is_operand && self.begins_with_value() {
            return Err(Error::bad_arguments(format!(
                "{}: a value that begins with `-` is refused, the program would take it for an option",
                names()
            )));
        }
        Ok(())
    }

    fn begins_with_value(&self) -> bool {
        matches!(self.template.pieces().first(), Some(Piece::Argument(_)))
    }
}

/// Takes apart the text that stands at `place`.
fn template(place: &str, text: &str) -> Result<Places, ProgramError> {
    let bad = |problem| ProgramError::BadTemplate { place: place.to_owned(), problem };
    if text.contains('\0') {
        return Err(bad("a NUL"));
    }
    Places::read(text).map_err(|misplaced| {
        bad(match misplaced {
            Misplaced::Close | Misplaced::Open => "a brace of no placeholder; write it twice",
            Misplaced::NoName => "a placeholder without the name of an argument",
        })
    })
}

/// The same, with no argument but those of `parameters`.
pub(super) fn template_for(
    place: &str,
    text: &str,
    parameters: &Value,
) -> Result<Places, ProgramError> {
    let template = template(place, text)?;
    let properties = parameters.get("properties").and_then(Value::as_object);
    let known = |name: &str| properties.is_some_and(|properties| properties.contains_key(name));
    if let Some(unknown) = template.arguments().find(|name| !known(name)) {
        let (place, placeholder) = (place.to_owned(), unknown.to_owned());
        return Err(ProgramError::NoParameter { place, placeholder });
    }
    Ok(template)
}

/// Says whether the schema has `name` for a list of texts, numbers or flags.
fn is_list(name: &str, parameters: &Value) -> bool {
    let schema = &parameters["properties"][name];
    let items = schema["items"]["type"].as_str();
    schema["type"] == "array" && matches!(items, Some("string" | "number" | "integer" | "boolean"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parameters() -> Value {
        json!({"type": "object", "properties": {
            "a": {"type": "string"}, "b": {}, "n": {"type": "number"},
            "list": {"type": "array", "items": {"type": "string"}},
            "rows": {"type": "array", "items": {"type": "object"}},
        }})
    }

    fn argv(argv: &[&str]) -> Result<Argv, ProgramError> {
        let argv: Vec<_> = argv.iter().map(|&element| element.to_owned()).collect();
        Argv::new(&argv, &parameters())
    }

    fn filled(elements: &[&str], arguments: &Value) -> Result<Vec<String>, String> {
        let elements: Vec<_> = ["p"].iter().chain(elements).copied().collect();
        let arguments = Arguments::new(&arguments.to_string()).unwrap();
        let filled = argv(&elements).unwrap().fill(&arguments);
        filled.map_err(|error| error.message().to_owned())
    }

    #[track_caller]
    fn check(elements: &[&str], arguments: Value, expected: &[&str]) {
        assert_eq!(
            filled(elements, &arguments).as_deref(),
            Ok(&expected.iter().map(|&e| e.to_owned()).collect::<Vec<_>>()[..])
        );
    }

    #[test]
    fn each_element_is_filled_on_its_own() {
        check(
            &["-v", "{a}", "--x={b}", "{{}}"],
            json!({"a": "x y; rm *", "b": 1}),
            &["-v", "x y; rm *", "--x=1", "{}"],
        );
        check(&["{a}", "end"], json!({}), &["end"]);
        check(&["{a}"], json!({"a": ""}), &[""]);
        check(&["{list}", "end"], json!({"list": ["x", "", "y z"]}), &["x", "", "y z", "end"]);
        check(&["{list}", "end"], json!({"list": []}), &["end"]);
        check(&["l={list}"], json!({"list": ["x"]}), &["l=[\"x\"]"]);
        check(&["{rows}"], json!({"rows": [{}]}), &["[{}]"]);
        check(&["{b}"], json!({"b": ["x", "y"]}), &["[\"x\",\"y\"]"]);
        assert_eq!(filled(&["x{a}"], &json!({})), Err("`a` is missing".to_owned()));
    }

    #[test]
    fn a_value_that_begins_like_an_option_is_refused_except_among_operands() {
        let refused = |elements: &[&str], arguments: Value| {
            let message = filled(elements, &arguments).unwrap_err();
            assert!(message.contains("begins with `-` is refused"), "{message}");
        };
        refused(&["{a}"], json!({"a": "-rf"}));
        refused(&["{a}"], json!({"a": "-"}));
        refused(&["{a}{b}"], json!({"a": "", "b": "-rf"}));
        refused(&["{n}"], json!({"n": -5}));
        refused(&["{list}"], json!({"list": ["x", "-rf"]}));
        refused(&["{a}", "--"], json!({"a": "-rf"}));
        refused(&["{b}", "{a}"], json!({"b": "--", "a": "x"}));
        check(&["--", "{a}", "{list}"], json!({"a": "-rf", "list": ["-x"]}), &["--", "-rf", "-x"]);
        check(&["-x{a}", "--y={n}"], json!({"a": "-rf", "n": -5}), &["-x-rf", "--y=-5"]);
        check(&["{a}"], json!({"a": "x-"}), &["x-"]);
    }

    #[test]
    fn no_program_is_given_a_nul() {
        let message = filled(&["--x={a}"], &json!({"a": "x\0y"})).unwrap_err();
        assert_eq!(message, "`a`: there is a NUL in it");
        assert!(filled(&["{list}"], &json!({"list": ["\0"]})).is_err());
    }

    #[test]
    fn what_cannot_be_an_argv_is_told_in_a_line() {
        let error = |elements: &[&str]| argv(elements).unwrap_err().to_string();
        assert_eq!(error(&[]), "`argv` names no program");
        assert_eq!(error(&[""]), "`argv` names no program");
        assert_eq!(
            error(&["run-{a}"]),
            "`argv[0]`, the program, is fixed and cannot have a placeholder: run-{a}"
        );
        assert_eq!(
            error(&["p", "x", "{c}"]),
            "`argv[2]` has the placeholder `{c}`, and `parameters` no property of that name"
        );
        assert_eq!(error(&["p", "{"]), "`argv[1]` has a brace of no placeholder; write it twice");
        assert_eq!(error(&["p", "\0"]), "`argv[1]` has a NUL");
        assert_eq!(argv(&["{{p}}"]).unwrap().program, "{p}");
    }

    proptest! {
        #[test]
        fn elements_never_merge_or_split(a in any::<String>(), b in any::<String>(), list in proptest::collection::vec(any::<String>(), 0..5)) {
            let arguments = json!({"a": a, "b": b, "list": list});
            let filled = filled(&["-f", "--a={a}", "{a}{b}", "--", "{a}", "{list}", "{b}"], &arguments);
            let texts = || [&a, &b].into_iter().chain(&list);
            if texts().any(|text| text.contains('\0')) || format!("{a}{b}").starts_with('-') {
                prop_assert!(filled.is_err());
            } else {
                let mut expected = vec!["-f".to_owned(), format!("--a={a}"), format!("{a}{b}"), "--".to_owned(), a];
                expected.extend(list);
                expected.push(b);
                prop_assert_eq!(filled, Ok(expected));
            }
        }
    }
}
