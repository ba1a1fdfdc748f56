//! Why a statement came to nothing, and what that says of it.

use crate::store::Error;

/// Why a statement came to nothing.
#[derive(Debug)]
pub(in crate::store) struct Failure {
    /// What the one who asked is told.
    pub error: Error,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    /// The connection is gone. Whether the statement was carried out is not known.
    Lost,
    /// Another transaction stood in the way: nothing was done, and it may be tried again at once.
    Crossed,
    /// The statement failed, and nothing of it is kept.
    Refused,
}

impl Failure {
    pub fn damaged(reason: String) -> Self {
        let error = Error::Damaged { what: "the store".to_owned(), reason };
        Self { error, kind: Kind::Refused }
    }

    #[cfg(feature = "sqlite")]
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self { error: Error::Unavailable { reason: reason.into() }, kind: Kind::Refused }
    }

    pub fn lost(reason: impl Into<String>) -> Self {
        Self { error: Error::Unavailable { reason: reason.into() }, kind: Kind::Lost }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, kind: Kind::Refused }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let (kind, reason) = match &error {
            sqlx::Error::Database(database) => {
                let code = database.code();
                let reason = match code.as_deref() {
                    Some(code) => format!("{} (code {code})", database.message()),
                    None => database.message().to_owned(),
                };
                (kind_of(code.as_deref().unwrap_or_default()), reason)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => (Kind::Lost, error.to_string()),
            _ => (Kind::Refused, error.to_string()),
        };
        Self { error: Error::Unavailable { reason: one_line(&reason) }, kind }
    }
}

/// What the code of an error says: five letters and digits of PostgreSQL, or a number of up to four
/// digits of SQLite.
fn kind_of(code: &str) -> Kind {
    match code {
        // Somebody else has the file, whatever for.
        "5" | "6" | "261" | "262" | "517" => Kind::Crossed,
        // Serialization failure, deadlock, a lock not to be had; a row that another one refers to by
        // now.
        "40001" | "40P01" | "55P03" | "23503" => Kind::Crossed,
        // The server is being stopped, has crashed, is starting, or has no connection to spare.
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" => Kind::Lost,
        code if code.len() == 5 && code.starts_with("08") => Kind::Lost,
        _ => Kind::Refused,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_told_from_a_refusal() {
        let kind = |error: sqlx::Error| Failure::from(error).kind;
        let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(kind(sqlx::Error::Io(gone)), Kind::Lost);
        assert_eq!(kind(sqlx::Error::RowNotFound), Kind::Refused);
        assert_eq!(kind_of("57P01"), Kind::Lost);
        assert_eq!(kind_of("08006"), Kind::Lost);
        assert_eq!(kind_of("40P01"), Kind::Crossed);
        assert_eq!(kind_of("13"), Kind::Refused, "the disk is full");
        assert_eq!(kind_of("53100"), Kind::Refused, "so is that of PostgreSQL");
    }
}
