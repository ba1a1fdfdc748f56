//! The built-in tool that reads pages of results that were too large for the model.

use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::err;
use serde_json::{Value, json};

use super::large_result::page_bytes;
use super::spec::Work;
use super::terms::Terms;
use super::{CallContext, Error, Tool, ToolFuture, ToolType};
use crate::conversation::{Effects, ResultId, ResultPart};

/// What the model calls it.
pub(super) const READ_RESULT: &str = "read_result";

const DESCRIPTION: &str = "Reads on in a result of another tool that was too large to be shown whole: \
     `length` bytes of it from byte `offset` on.";

/// The tool, as the model is shown it.
pub(super) fn tool_type() -> ToolType {
    let parameters = json!({
        "type": "object",
        "properties": {
            "handle": {"type": "string", "description": "The handle that stands at the end of the part that was shown."},
            "offset": {"type": "integer", "minimum": 0, "description": "The byte to begin at; 0 if left out."},
            "length": {"type": "integer", "minimum": 1, "description": "How many bytes to read at most."},
        },
        "required": ["handle"],
    });
    ToolType::of(READ_RESULT.into(), DESCRIPTION.into(), parameters, Work::ReadResults)
        .effects(Effects::None)
}

/// Reads the large results of one session.
pub(super) struct ReadResult(pub Rc<Terms>);

impl Tool for ReadResult {
    fn call(&self, arguments: &str, _: CallContext) -> ToolFuture {
        let Self(terms) = self;
        let arguments: Value = match serde_json::from_str(arguments) {
            Ok(arguments) => arguments,
            Err(error) => return err(Error::bad_arguments(error)).boxed_local(),
        };
        let number = |name: &str| whole_number(&arguments[name]);
        let handle = ResultId::new(arguments["handle"].as_str().unwrap_or_default());
        let max_bytes = terms.rules.max_result_bytes;
        let length = number("length").map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let length = length.unwrap_or_else(|| page_bytes(max_bytes)).min(max_bytes);
        let Some(results) = &terms.large_results else {
            return err(no_such_result(&handle)).boxed_local();
        };
        let part = results.part(&handle, number("offset").unwrap_or_default(), length);
        let page = async move {
            match part.await {
                Ok(Some(part)) => Ok(page(part)),
                Ok(None) => Err(no_such_result(&handle)),
                Err(reason) => Err(Error::new(reason)),
            }
        };
        page.boxed_local()
    }
}

/// A number that is whole, also if it is written as `5.0`.
fn whole_number(value: &Value) -> Option<u64> {
    let written = || value.as_f64().map(|number| format!("{number:.0}"));
    value.as_u64().or_else(|| written()?.parse().ok())
}

fn no_such_result(handle: &ResultId) -> Error {
    Error::permanent(format!(
        "there is no result with the handle `{handle}` in this conversation: use one that a result \
         ended with"
    ))
}

/// The text of `part`, and where the next page begins.
fn page(ResultPart { offset, text, total_bytes }: ResultPart) -> String {
    let end = offset + u64::try_from(text.len()).unwrap_or_default();
    let next = match end < total_bytes {
        true => format!("the next page begins at offset {end}"),
        false => "this is the end".to_owned(),
    };
    format!("{text}\n[bytes {offset} to {end} of {total_bytes}; {next}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_it_is_and_where_the_next_one_begins() {
        assert_eq!((whole_number(&json!(7)), whole_number(&json!(7.0))), (Some(7), Some(7)));
        assert_eq!(whole_number(&Value::Null), None);
        let told = |offset, bytes| page(ResultPart::of("zwölf", offset, bytes));
        assert_eq!(told(0, 3), "zw\n[bytes 0 to 2 of 6; the next page begins at offset 2]");
        assert_eq!(told(2, 100), "ölf\n[bytes 2 to 6 of 6; this is the end]");
        assert_eq!(told(9, 100), "\n[bytes 6 to 6 of 6; this is the end]");
    }
}
