//! What a provider counted: tokens, wherever it writes them.

use super::super::Usage;
use super::super::json::{Object, Unread};
use super::super::shape::{Shape, Whole};

/// The usage, if the object counts anything we know.
#[derive(Default)]
pub(super) struct Counted(pub Option<Usage>);

impl<'de> Shape<'de> for Counted {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut usage = Usage::default();
        let mut counted = false;
        while let Some(field) = fields.name()? {
            let place = match &*field {
                "prompt_tokens" | "input_tokens" => &mut usage.input_tokens,
                "completion_tokens" | "output_tokens" => &mut usage.output_tokens,
                "cached_tokens" | "prompt_cache_hit_tokens" => &mut usage.cached_tokens,
                "reasoning_tokens" => &mut usage.reasoning_tokens,
                "prompt_tokens_details"
                | "input_tokens_details"
                | "completion_tokens_details"
                | "output_tokens_details" => {
                    let Counted(details) = fields.value()?;
                    let details = details.unwrap_or_default();
                    usage.cached_tokens = usage.cached_tokens.max(details.cached_tokens);
                    usage.reasoning_tokens = usage.reasoning_tokens.max(details.reasoning_tokens);
                    continue;
                }
                _ => {
                    fields.skip()?;
                    continue;
                }
            };
            if let Some(count) =
                fields.value::<Whole>()?.0.and_then(|count| u64::try_from(count).ok())
            {
                *place = count;
                counted = true;
            }
        }
        Ok(Counted(counted.then_some(usage)))
    }
}
