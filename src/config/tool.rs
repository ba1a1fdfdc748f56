//! The settings of one tool: an entry of `[[tools]]`.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value as Json;

use super::choice::ToolKind;
use super::command::Command;
use super::error::Error;
use super::http::Http;
use super::kind;
use super::reader::Section;
use super::sections::{Supervision, Turn};
use crate::conversation::{Approval, Effects};
use crate::tools::CacheScope;

/// A tool that is offered to the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Where it is set, for messages.
    pub place: String,
    /// The name the model calls it by: 1 to 64 letters, digits, `_` and `-`; unique.
    pub name: String,
    /// What runs its calls.
    pub work: ToolWork,
    /// What the model is told; `None` = the tool's own words.
    pub description: Option<String>,
    /// The JSON schema of its arguments, an object; `None` = the tool's own.
    pub parameters: Option<Json>,
    /// What running a call twice would do.
    pub effects: Effects,
    /// Whether a person has to approve a call.
    pub approval: Approval,
    /// Whether a call may start while the model still writes; `None` = only if its effects are `none`.
    pub early: Option<bool>,
    /// The limit of one call; `None` = [`Turn::call_time_limit`](super::Turn::call_time_limit).
    pub time_limit: Option<Duration>,
    /// Further tries of a call that failed.
    pub retries: u32,
    /// The limit of one try.
    pub attempt_time_limit: Option<Duration>,
    /// How long a try may go without a sign of progress.
    pub silence_time_limit: Option<Duration>,
    /// Calls that run at a time, in the whole process; `None` = any number.
    pub max_concurrency: Option<u32>,
    /// One call at a time in each session.
    pub exclusive: bool,
    /// Calls with the same value of this argument run one after another.
    pub serial_by: Option<String>,
    /// How many calls may begin in a time.
    pub rate_limit: Option<Rate>,
    /// Calls that may wait for their turn; `None` = the library's own number.
    pub max_queue: Option<u32>,
    /// Identical calls of one round run once.
    pub single_flight: bool,
    /// How long the results of calls are kept; `None` = they are not.
    pub cache: Option<Duration>,
    /// Who may be answered with them.
    pub cache_scope: CacheScope,
}

/// What runs the calls of a tool, with what only its kind has settings for.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolWork {
    /// A demo tool, and how it behaves.
    Demo(Simulate),
    /// An HTTP endpoint.
    Http(Http),
    /// A local program.
    Command(Command),
}

/// So many calls in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub calls: NonZeroU32,
    /// The time.
    pub per: Duration,
}

/// How long the calls of a demo tool take, and what goes wrong with them. The default: nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Simulate {
    /// What every call takes.
    pub latency: Duration,
    /// The most that chance adds to it.
    pub jitter: Duration,
    /// The share of calls that answer with an error, 0 to 1.
    pub error_rate: f64,
    /// The share of calls that panic, 0 to 1.
    pub panic_rate: f64,
    /// The share of calls that never answer, 0 to 1.
    pub hang_rate: f64,
    /// The number of the call that panics, counted from 1.
    pub crash_after: Option<u64>,
    /// Makes chance repeatable.
    pub seed: Option<u64>,
    /// A file that says of each call when it began and when it had taken effect.
    pub log: Option<String>,
}

impl Tool {
    /// Reads `[[tools]]`.
    pub(super) fn read_all(
        root: &mut Section<'_>,
        turn: &Turn,
        supervision: &Supervision,
    ) -> Result<Vec<Tool>, Error> {
        let mut places: Vec<(String, String)> = Vec::new();
        root.tables("tools", |section| {
            let tool = Tool::read(section, turn, supervision)?;
            tool.check_times(section, turn, supervision)?;
            tool.check_reuse(section)?;
            let place = section.place("name");
            if let Some((name, first)) = places.iter().find(|(name, _)| *name == tool.name) {
                let (name, first) = (name.clone(), first.clone());
                return Err(Error::DuplicateTool { name, first, second: place });
            }
            places.push((tool.name.clone(), place));
            Ok(tool)
        })
    }

    fn read(
        section: &mut Section<'_>,
        turn: &Turn,
        supervision: &Supervision,
    ) -> Result<Tool, Error> {
        let name = section.required("name", kind::tool_name)?;
        let kind = section.or("kind", kind::choice, ToolKind::Demo)?;
        let unsaid = match kind {
            ToolKind::Demo => Effects::None, // It only makes answers up.
            ToolKind::Http | ToolKind::Command => Effects::Once,
        };
        let retries;
        let mut tool = Tool {
            place: section.own_place(),
            name,
            description: section.optional("description", kind::string)?,
            parameters: section.optional("parameters", kind::schema)?,
            effects: section.or("effects", kind::choice, unsaid)?,
            approval: section.or("approval", kind::choice, Approval::Never)?,
            early: section.optional("early", kind::flag)?,
            time_limit: section.optional("time_limit_ms", kind::time_limit)?,
            retries: {
                retries = section.optional("retries", kind::count(0..=1000))?;
                retries.unwrap_or_default()
            },
            attempt_time_limit: section.optional("attempt_time_limit_ms", kind::time_limit)?,
            silence_time_limit: section.optional("silence_time_limit_ms", kind::time_limit)?,
            max_concurrency: section.optional("max_concurrency", kind::count(1..=1_000_000))?,
            exclusive: section.optional("exclusive", kind::flag)?.unwrap_or_default(),
            serial_by: section.optional("serial_by", kind::filled)?,
            rate_limit: section.optional_table("rate_limit", Rate::read)?,
            max_queue: section.optional("max_queue", kind::count(0..=1_000_000))?,
            single_flight: section.optional("single_flight", kind::flag)?.unwrap_or_default(),
            cache: section.optional("cache_ms", kind::time_limit)?,
            cache_scope: section.optional("cache_scope", kind::choice)?.unwrap_or_default(),
            work: match kind {
                ToolKind::Demo => ToolWork::Demo(section.table("simulate", Simulate::read)?),
                ToolKind::Http => ToolWork::Http(Http::read(section)?),
                ToolKind::Command => ToolWork::Command(Command::read(section)?),
            },
        };
        if retries.is_none() {
            tool.retries = tool.usual_retries(turn, supervision);
        }
        Ok(tool)
    }

    /// How often a failed call is tried again if it is not said: as far as there is time for it, and
    /// never what must not happen twice.
    fn usual_retries(&self, turn: &Turn, supervision: &Supervision) -> u32 {
        let most = match (&self.work, self.effects) {
            (ToolWork::Http(_), Effects::None | Effects::Idempotent) => 2,
            (ToolWork::Http(_), Effects::Once) | (ToolWork::Demo(_) | ToolWork::Command(_), _) => 0,
        };
        let limit = self.time_limit.unwrap_or(turn.call_time_limit);
        let fits = |retries: &u32| self.needed_time(*retries, supervision) <= limit;
        (0..=most).rev().find(fits).unwrap_or_default()
    }
}

impl Tool {
    /// Refuses limits that cannot be kept together.
    fn check_times(
        &self,
        section: &Section<'_>,
        turn: &Turn,
        supervision: &Supervision,
    ) -> Result<(), Error> {
        let limit = self.time_limit.unwrap_or(turn.call_time_limit);
        let (most, whose) = match self.time_limit {
            Some(_) => (limit.as_millis(), "time_limit_ms"),
            None => (limit.as_millis(), "turn.call_time_limit_ms"),
        };
        let within = [
            ("attempt_time_limit_ms", self.attempt_time_limit),
            ("silence_time_limit_ms", self.silence_time_limit),
        ];
        for (name, own) in within {
            if own.is_some_and(|own| own > limit) {
                return Err(section.misfit(name, format!("at most `{whose}`, {most}")));
            }
        }
        let needed = self.needed_time(self.retries, supervision);
        if needed > limit {
            let needed = needed.as_millis();
            let expected = format!(
                "so few retries that they fit into `{whose}`, {most}: they may take {needed} ms"
            );
            return Err(section.misfit("retries", expected));
        }
        Ok(())
    }

    /// Refuses to answer calls that have not run where they would have had effects.
    fn check_reuse(&self, section: &Section<'_>) -> Result<(), Error> {
        let wanted = [("single_flight", self.single_flight), ("cache_ms", self.cache.is_some())];
        match wanted.into_iter().find(|(_, is_wanted)| *is_wanted) {
            Some((name, _)) if self.effects != Effects::None => {
                let effects = self.effects.as_str();
                let expected = format!("nothing, as `effects` is \"{effects}\" and not \"none\"");
                Err(section.misfit(name, expected))
            }
            _ => Ok(()),
        }
    }

    /// What so many further tries and the rests between them may take; tries without a limit, nothing.
    fn needed_time(&self, retries: u32, supervision: &Supervision) -> Duration {
        let Supervision { backoff_min, backoff_max, .. } = *supervision;
        // Chance may add a fifth.
        let rest = |n: u32| backoff_min.saturating_mul(1 << n.min(20)).min(backoff_max) * 6 / 5;
        let rests = (0..retries).map(rest).fold(Duration::ZERO, Duration::saturating_add);
        let attempt = self.attempt_time_limit.unwrap_or_default();
        attempt.saturating_mul(retries + 1).saturating_add(rests)
    }
}

impl Rate {
    fn read(section: &mut Section<'_>) -> Result<Rate, Error> {
        let calls = section.required("calls", kind::count(1..=1_000_000))?;
        let calls = NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN);
        Ok(Rate { calls, per: section.required("per_ms", kind::time_limit)? })
    }
}

impl Simulate {
    fn read(section: &mut Section<'_>) -> Result<Simulate, Error> {
        Ok(Simulate {
            latency: section.optional("latency_ms", kind::millis)?.unwrap_or_default(),
            jitter: section.optional("jitter_ms", kind::millis)?.unwrap_or_default(),
            error_rate: section.optional("error_rate", kind::rate)?.unwrap_or_default(),
            panic_rate: section.optional("panic_rate", kind::rate)?.unwrap_or_default(),
            hang_rate: section.optional("hang_rate", kind::rate)?.unwrap_or_default(),
            crash_after: section.optional("crash_after", kind::whole(1..=u64::MAX))?,
            seed: section.optional("seed", kind::whole(0..=u64::MAX))?,
            log: section.optional("log", kind::filled)?,
        })
    }
}
