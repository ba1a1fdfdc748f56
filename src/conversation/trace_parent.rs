//! Which span of a distributed trace something is a part of, as it travels: the header `traceparent` of
//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>).

use std::fmt;
use std::str::FromStr;

/// A span of a trace, as it is named to others. Written as `00-TRACE-SPAN-FLAGS`, in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span; never zero.
    pub span_id: u64,
    /// The lowest bit: whoever began the trace keeps it.
    pub flags: u8,
}

/// The flags that version 00 knows: the trace is kept, its id is random. Others are passed on as zero.
const KNOWN: u128 = 0b11;

/// What was read is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent")]
pub struct NoTraceParent;

impl TraceParent {
    /// Says whether whoever began the trace keeps it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    /// Later versions are read as far as this one goes.
    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let mut parts = text.trim_matches([' ', '\t']).split('-');
        let mut part = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length).ok_or(NoTraceParent)?;
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if !part.bytes().all(is_hex) {
                return Err(NoTraceParent);
            }
            u128::from_str_radix(part, 16).map_err(|_| NoTraceParent)
        };
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let goes_on = parts.next().is_some();
        if version == 0xff || (version == 0 && goes_on) || trace_id == 0 || span_id == 0 {
            return Err(NoTraceParent);
        }
        let span_id = u64::try_from(span_id).map_err(|_| NoTraceParent)?;
        Ok(Self {
            trace_id,
            span_id,
            flags: u8::try_from(flags & KNOWN).map_err(|_| NoTraceParent)?,
        })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, span_id, flags } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn it_is_written_as_it_was_read() {
        let read: TraceParent = TEXT.parse().expect("well formed");
        assert_eq!(read.to_string(), TEXT);
        assert!(read.is_sampled());
        let unknown = TEXT.replace("331-01", "331-fd");
        assert_eq!(unknown.parse::<TraceParent>().unwrap().to_string(), TEXT, "others are zero");
        let low = "00-00000000000000000000000000000001-0000000000000002-00";
        assert_eq!(low.parse::<TraceParent>().map(|read| read.to_string()).as_deref(), Ok(low));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future";
        assert_eq!(later.parse::<TraceParent>(), TEXT.parse());
    }

    #[test]
    fn what_is_none_is_not_taken_for_one() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0äf7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(NoTraceParent), "{text}");
        }
    }
}
