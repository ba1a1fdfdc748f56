//! What may be wrong with a call as the model writes it, or as its provider passes it on.

use super::dialect::{Dialect, Ids, Names};
use super::wish::Wish;
use crate::support::dice::Dice;

/// What is wrong with a call as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// More comes after its brace has closed.
    GoesOn {
        more: &'static str,
        /// After the next call has begun.
        late: bool,
    },
    /// It never becomes a JSON object.
    NoObject(String),
    /// The model stops after so many bytes of its arguments.
    Stops(usize),
}

/// What a call goes on with whose brace has closed.
const MORE: [&str; 4] = [r#", "limit": 10}"#, "}", "x", r#"{"number":0}"#];

impl Flaw {
    /// The flaw of a call of a reply that is not cut.
    pub fn new(dice: &mut Dice, wish: &Wish, dialect: &Dialect, is_last: bool) -> Self {
        match dice.between(1, 100) {
            1..=12 if !wish.is_blank() => {
                let late = !is_last && dialect.can_go_back() && dice.percent(50);
                // A whole object with a name and no id is another call.
                let is_doubtful = (dialect.ids, dialect.names) == (Ids::Missing, Names::Always);
                let most = if is_doubtful { 2 } else { 3 };
                Self::GoesOn { more: MORE[dice.between(0, most) as usize], late }
            }
            // What is empty may be a placeholder until the next call begins.
            1..=30 if wish.is_blank() && !is_last && dialect.can_go_back() => {
                Self::GoesOn { more: r#"{"number":0}"#, late: true }
            }
            13..=15 => {
                let whole = wish.arguments();
                let wrong = [
                    "[1]".to_owned(),
                    "12".to_owned(),
                    "\"x\"".to_owned(),
                    "{'a':1}".to_owned(),
                    whole.replacen('{', "{,", 1),
                    whole[..whole.len() - 1].to_owned(),
                ];
                Self::NoObject(wrong[dice.between(0, 5) as usize].clone())
            }
            _ => Self::None,
        }
    }
}
