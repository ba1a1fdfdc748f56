//! What the ids of calls must look like, and how a foreign id is made to.

/// What the ids of calls must look like in a history.
///
/// An id goes back verbatim to the model it came from; a rule is for the ids of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdRule {
    /// Any string.
    Any,
    /// Nine letters or digits: Mistral refuses all else.
    Mistral,
    /// `functions.{name}:{index}`, the index counting the calls of the whole conversation from 0.
    /// Kimi K2 takes others, but then tends to end its turn where it should call.
    Kimi,
    /// At most 40 characters: OpenAI refuses longer ones.
    Max40,
}

/// The most characters that [`IdRule::Max40`] allows.
const MOST_CHARS: usize = 40;

/// How long an id for Mistral is, and the hash at the end of an id that was cut.
const HASH_CHARS: usize = 9;

impl IdRule {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::Any, Self::Mistral, Self::Kimi, Self::Max40];

    /// The word that stands for it in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Mistral => "mistral",
            Self::Kimi => "kimi",
            Self::Max40 => "max40",
        }
    }

    /// Whether the `id` of a call of `tool` keeps the rule.
    #[must_use]
    pub fn fits(&self, id: &str, tool: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Mistral => {
                id.len() == HASH_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
            }
            Self::Kimi => {
                let index = id.strip_prefix("functions.").and_then(|id| id.strip_prefix(tool));
                let index = index.and_then(|id| id.strip_prefix(':')).unwrap_or_default();
                !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())
            }
            Self::Max40 => id.chars().nth(MOST_CHARS).is_none(),
        }
    }

    /// An id that keeps the rule, in the place of `id`: the same one whenever it is asked for.
    ///
    /// `global_index` counts the calls of the conversation from 0. Different ids become different
    /// ones, for all that a hash of 53 bits can promise.
    #[must_use]
    pub fn rewrite(&self, id: &str, tool: &str, global_index: usize) -> String {
        match self {
            Self::Any => id.to_owned(),
            Self::Mistral => hash(id),
            Self::Kimi => format!("functions.{tool}:{global_index}"),
            Self::Max40 if self.fits(id, tool) => id.to_owned(),
            Self::Max40 => {
                let kept: String = id.chars().take(MOST_CHARS - HASH_CHARS - 1).collect();
                format!("{kept}_{}", hash(id))
            }
        }
    }
}

/// Nine letters and digits that stand for `text`, now and in every later version: the ids of a
/// history that is sent again must not change, or the provider's cache is of no use.
fn hash(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a.
    });
    let mut digits = String::with_capacity(HASH_CHARS);
    for _ in 0..HASH_CHARS {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        digits.push(char::from(DIGITS[digit]));
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_fits_or_it_does_not() {
        let check = |rule: IdRule, id: &str, fits| assert_eq!(rule.fits(id, "f.x"), fits, "{id}");
        check(IdRule::Any, "", true);
        for (id, fits) in [("aZ0123456", true), ("aZ012345", false), ("aZ01234567", false)] {
            check(IdRule::Mistral, id, fits);
        }
        check(IdRule::Mistral, "call_1234", false);
        check(IdRule::Mistral, "aaaaaaaé", false); // Nine bytes.
        for (id, fits) in [
            ("functions.f.x:0", true),
            ("functions.f.x:12", true),
            ("functions.f.x:", false),
            ("functions.f.x:-1", false),
            ("functions.other:1", false),
            ("f.x:0", false),
        ] {
            check(IdRule::Kimi, id, fits);
        }
        check(IdRule::Max40, &"é".repeat(40), true);
        check(IdRule::Max40, &"é".repeat(41), false);
    }

    #[test]
    fn a_rewritten_id_never_changes_from_one_version_to_the_next() {
        let check = |rule: IdRule, expected: &str| {
            let id = "toolu_01A09q90qw90lq917835lq9_and_some_more";
            assert_eq!(rule.rewrite(id, "f", 3), expected);
        };
        check(IdRule::Any, "toolu_01A09q90qw90lq917835lq9_and_some_more");
        check(IdRule::Mistral, "uWIDdGeR6");
        check(IdRule::Kimi, "functions.f:3");
        check(IdRule::Max40, "toolu_01A09q90qw90lq917835lq9__uWIDdGeR6");
        assert_eq!(IdRule::Max40.rewrite("call_1", "f", 0), "call_1");
    }

    proptest! {
        #[test]
        fn a_rewritten_id_keeps_its_rule(id in ".{0,60}", tool in "[a-z_.]{1,9}", index in 0..999_usize) {
            for rule in IdRule::ALL {
                let rewritten = rule.rewrite(&id, &tool, index);
                prop_assert!(rule.fits(&rewritten, &tool), "{rewritten}");
                prop_assert_eq!(&rule.rewrite(&id, &tool, index), &rewritten);
            }
        }

        #[test]
        fn different_ids_become_different_ones(one in ".{0,60}", other in ".{0,60}") {
            prop_assume!(one != other);
            for rule in [IdRule::Mistral, IdRule::Max40] {
                prop_assert_ne!(rule.rewrite(&one, "f", 0), rule.rewrite(&other, "f", 0));
            }
        }
    }
}
