//! What a provider counted: tokens and money, wherever it writes them.

use std::borrow::Cow;

use super::super::Usage;
use super::super::json::{Object, Unread};
use super::super::shape::{Number, Shape, Whole};

/// The unit of `cost_in_usd_ticks`: so many make a dollar (<https://docs.x.ai/developers/cost-tracking>).
const TICKS_PER_DOLLAR: f64 = 1e10;

/// The usage, if the object counts anything we know.
#[derive(Default)]
pub(super) struct Counted(pub Option<Usage>);

impl<'de> Shape<'de> for Counted {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut usage = Usage::default();
        let (mut counted, mut total) = (false, 0);
        while let Some(field) = fields.name()? {
            let place = match &*field {
                "prompt_tokens" | "input_tokens" => &mut usage.input_tokens,
                "completion_tokens" | "output_tokens" => &mut usage.output_tokens,
                "cached_tokens" | "prompt_cache_hit_tokens" | "cache_read_input_tokens" => {
                    &mut usage.cached_tokens
                }
                "reasoning_tokens" => &mut usage.reasoning_tokens,
                "total_tokens" => &mut total,
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
                "cost" => {
                    let Dollars(cost) = fields.value()?;
                    usage.cost = cost.or(usage.cost);
                    counted |= cost.is_some();
                    continue;
                }
                "cost_in_usd_ticks" => {
                    let Dollars(ticks) = fields.value()?;
                    usage.cost = usage.cost.or(ticks.map(|ticks| ticks / TICKS_PER_DOLLAR));
                    counted |= ticks.is_some();
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
                // One number may be written under two names, and be 0 under one of them.
                *place = count.max(*place);
                counted = true;
            }
        }
        Ok(Counted(counted.then(|| include_parts(usage, total))))
    }
}

/// Some providers count reasoning beside the output instead of in it: the total says so, or the
/// part is larger than the whole. So it is with what came from a cache.
fn include_parts(mut usage: Usage, total: u64) -> Usage {
    let Usage { input_tokens: input, output_tokens: output, .. } = usage;
    let (cached, reasoning) = (usage.cached_tokens, usage.reasoning_tokens);
    let parts = input.saturating_add(output).saturating_add(reasoning);
    if reasoning > output || (reasoning > 0 && total == parts) {
        usage.output_tokens = output.saturating_add(reasoning);
    }
    if cached > input {
        usage.input_tokens = input.saturating_add(cached);
    }
    usage
}

/// An amount of money: a number, one written as text, or the sum of an itemised bill. Never negative.
#[derive(Default)]
pub(super) struct Dollars(pub Option<f64>);

impl Dollars {
    fn some(amount: f64) -> Self {
        Dollars(Some(amount).filter(|amount| amount.is_finite() && *amount >= 0.0))
    }
}

impl<'de> Shape<'de> for Dollars {
    fn text(text: Cow<'de, str>) -> Self {
        text.parse().map(Self::some).unwrap_or_default()
    }

    fn number(number: Number) -> Self {
        Self::some(match number {
            Number::Unsigned(number) => number as f64,
            Number::Signed(number) => number as f64,
            Number::Float(number) => number,
        })
    }

    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut sum = Dollars(None);
        while let Some(field) = fields.name()? {
            match &*field {
                "total_cost" | "usd" => sum = fields.value()?,
                _ => _ = fields.skip()?,
            }
        }
        Ok(sum)
    }
}

/// The timings of llama.cpp: how many tokens of the request it still had from the last one.
#[derive(Default)]
pub(super) struct Timings {
    pub cached: u64,
}

impl<'de> Shape<'de> for Timings {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut timings = Timings::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "cache_n" => {
                    let Whole(cached) = fields.value()?;
                    timings.cached = cached.and_then(|count| count.try_into().ok()).unwrap_or(0);
                }
                _ => _ = fields.skip()?,
            }
        }
        Ok(timings)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::StreamDecoder;
    use super::super::decode_reply;
    use super::*;

    /// Checks what a body with these fields beside its choices counts, whole and as a chunk.
    fn check(fields: &str, expected: Usage) {
        let choices = |message: &str| {
            format!(r#""choices":[{{"{message}":{{"content":"a"}},"finish_reason":"stop"}}]"#)
        };
        let body = format!("{{{},{fields}}}", choices("message"));
        assert_eq!(decode_reply(body.as_bytes()).unwrap().usage, Some(expected), "{fields}");
        let stream = format!("data: {{{fields},{}}}\n\n", choices("delta"));
        let mut decoder = StreamDecoder::new();
        decoder.feed(stream.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(decoder.finish().unwrap().usage, Some(expected), "{fields}, streamed");
    }

    fn tokens(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens, ..Usage::default() }
    }

    #[test]
    fn tokens_have_two_names() {
        check(
            r#""usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}"#,
            tokens(7, 2),
        );
        check(r#""usage":{"input_tokens":7,"output_tokens":2}"#, tokens(7, 2));
    }

    #[test]
    fn usage_stands_at_the_top_in_the_choice_or_in_a_corner_of_its_own() {
        check(
            r#""x_groq":{"id":"q","usage":{"prompt_tokens":7,"completion_tokens":2}}"#,
            tokens(7, 2),
        );
        let body = r#"{"choices":[{"message":{"content":"a"},"usage":{"prompt_tokens":3}}]}"#;
        assert_eq!(decode_reply(body.as_bytes()).unwrap().usage, Some(tokens(3, 0)));
    }

    #[test]
    fn cached_tokens_are_found_under_every_name() {
        let expected = Usage { cached_tokens: 5, ..tokens(7, 2) };
        for cached in [
            r#""prompt_tokens_details":{"cached_tokens":5,"audio_tokens":0}"#,
            r#""input_tokens_details":{"cached_tokens":5}"#,
            r#""prompt_cache_hit_tokens":5,"prompt_cache_miss_tokens":2"#,
            r#""cached_tokens":5"#,
            r#""cache_read_input_tokens":5,"cache_creation_input_tokens":0"#,
            r#""cache_read_input_tokens":0,"prompt_tokens_details":{"cached_tokens":5}"#,
            r#""prompt_tokens_details":{"cached_tokens":5},"cache_read_input_tokens":0"#,
            r#""prompt_tokens_details":null,"cached_tokens":5"#,
        ] {
            check(
                &format!(r#""usage":{{"prompt_tokens":7,{cached},"completion_tokens":2}}"#),
                expected,
            );
        }
        check(
            r#""timings":{"cache_n":5,"prompt_n":2},"usage":{"prompt_tokens":7,"completion_tokens":2}"#,
            expected,
        );
    }

    #[test]
    fn reasoning_tokens_are_found_under_every_name() {
        let expected = Usage { reasoning_tokens: 4, ..tokens(7, 6) };
        for reasoning in [
            r#""completion_tokens_details":{"reasoning_tokens":4}"#,
            r#""output_tokens_details":{"reasoning_tokens":4}"#,
            r#""reasoning_tokens":4"#,
            r#""completion_tokens_details":{"accepted_prediction_tokens":0},"reasoning_tokens":4"#,
        ] {
            check(
                &format!(
                    r#""usage":{{{reasoning},"prompt_tokens":7,"completion_tokens":6,"total_tokens":13}}"#
                ),
                expected,
            );
        }
    }

    #[test]
    fn parts_that_were_counted_beside_the_whole_are_included_in_it() {
        for counts in [
            r#""prompt_tokens":7,"completion_tokens":6,"reasoning_tokens":4,"total_tokens":17"#,
            r#""prompt_tokens":7,"completion_tokens":4,"completion_tokens_details":{"reasoning_tokens":6},"total_tokens":11"#,
        ] {
            let Counted(usage) = super::super::super::json::read(&format!("{{{counts}}}")).unwrap();
            assert_eq!(usage.unwrap().output_tokens, 10, "{counts}");
        }
        check(
            r#""usage":{"input_tokens":3,"cache_read_input_tokens":20,"output_tokens":1}"#,
            Usage { cached_tokens: 20, ..tokens(23, 1) },
        );
    }

    #[test]
    fn cost_is_in_dollars_wherever_it_stands() {
        let expected = Usage { cost: Some(0.0025), ..tokens(7, 2) };
        for cost in [
            r#""cost":0.0025,"cost_details":{"upstream_inference_cost":null}"#,
            r#""cost":"0.0025""#,
            r#""cost":{"input_tokens_cost":0.001,"total_cost":0.0025}"#,
            r#""cost_in_usd_ticks":25000000"#,
        ] {
            check(
                &format!(r#""usage":{{"prompt_tokens":7,"completion_tokens":2,{cost}}}"#),
                expected,
            );
        }
        check(
            r#""cost":{"diem":0,"usd":0.0025},"usage":{"prompt_tokens":7,"completion_tokens":2}"#,
            expected,
        );
        check(r#""usage":{"prompt_tokens":1,"cost":0}"#, Usage { cost: Some(0.0), ..tokens(1, 0) });
    }

    #[test]
    fn what_is_no_amount_is_no_cost() {
        for cost in ["null", "-1", "\"much\"", "\"inf\"", "[1]", "{}", "true"] {
            check(&format!(r#""usage":{{"prompt_tokens":1,"cost":{cost}}}"#), tokens(1, 0));
        }
    }

    #[test]
    fn what_counts_nothing_is_no_usage() {
        for usage in ["null", "{}", "[]", r#"{"queue_time":0.1}"#, r#"{"prompt_tokens":null}"#] {
            let body = format!(r#"{{"choices":[{{"message":{{}}}}],"cost":1,"usage":{usage}}}"#);
            assert_eq!(decode_reply(body.as_bytes()).unwrap().usage, None, "{usage}");
        }
    }
}
