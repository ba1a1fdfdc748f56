//! Settings that are one word out of a few.

use crate::conversation::{Approval, Compaction, Effects, Mode};
use crate::model::{EmptyContent, IdRule, TokenLimitField};
use crate::store::SyncMode;
use crate::tools::CacheScope;

/// A setting with a closed list of words.
pub(super) trait Choice: Copy + 'static {
    /// Every choice, in the order an error lists them.
    const ALL: &'static [Self];

    /// The word in a file.
    fn word(self) -> &'static str;
}

/// Declares the enum, its words and `as_str` from one list.
macro_rules! choices {
    ($(#[$about:meta])* $name:ident { $($(#[$case_about:meta])* $case:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$case_about])* $case,)+
        }

        impl $name {
            /// Returns the word that stands for it in a file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $word,)+
                }
            }
        }

        impl Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$case,)+];

            fn word(self) -> &'static str {
                self.as_str()
            }
        }
    };
}

choices! {
    /// Who answers: as asked for in `model.provider`.
    Provider {
        /// An endpoint if there is a key or the endpoint is local, else the stand-in.
        Auto = "auto",
        /// Any endpoint that speaks Chat Completions.
        OpenAi = "openai",
        /// The built-in stand-in, without a network.
        Offline = "offline",
    }
}

impl Choice for SyncMode {
    const ALL: &'static [Self] = &[SyncMode::Full, SyncMode::Normal];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Choice for Mode {
    const ALL: &'static [Self] = &[Mode::Parallel, Mode::Sequential];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Choice for Compaction {
    const ALL: &'static [Self] = &[Compaction::Off, Compaction::DropOldest, Compaction::Summarise];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Choice for Effects {
    const ALL: &'static [Self] = &[Effects::None, Effects::Idempotent, Effects::Once];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Choice for Approval {
    const ALL: &'static [Self] = &[Approval::Never, Approval::OncePerSession, Approval::Always];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Choices that are the library's own: it knows all of them and their words.
macro_rules! library_choices {
    ($($name:ty),+) => {
        $(impl Choice for $name {
            const ALL: &'static [Self] = <$name>::ALL;

            fn word(self) -> &'static str {
                self.as_str()
            }
        })+
    };
}

library_choices!(CacheScope, EmptyContent, IdRule, TokenLimitField);

choices! {
    /// What runs a tool's calls.
    ToolKind {
        /// A built-in tool with invented data and a simulated latency.
        Demo = "demo",
        /// A request to an HTTP endpoint.
        Http = "http",
        /// A local program.
        Command = "command",
    }
}

choices! {
    /// Which revision of the Model Context Protocol is spoken.
    McpProtocol {
        /// The newest that both know.
        Auto = "auto",
        /// The one without a handshake.
        Stateless = "2026-07-28",
        /// One with a handshake: this or an older one.
        Handshake = "2025-11-25",
    }
}

choices! {
    /// The least important events that are still logged.
    LogLevel {
        /// Failures that need a person.
        Error = "error",
        /// What was survived but should not happen.
        Warn = "warn",
        /// The course of a session.
        Info = "info",
        /// What each part decides.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
        /// Nothing at all.
        Off = "off",
    }
}

choices! {
    /// The shape of log lines.
    LogFormat {
        /// For a person.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}
