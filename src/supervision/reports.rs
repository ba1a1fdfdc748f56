//! The accounts of a turn's rounds, worked out when somebody looks at them.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{ModelRetry, RoundReport, Rounds};
use crate::conversation::{Batch, Event};

/// The accounts of a turn's rounds, in order: a slice of [`RoundReport`]s.
///
/// They are worked out from the turn's events when they are first looked at, so that a turn costs
/// nothing for an account that nobody reads. Cheap to clone.
#[derive(Clone, Default)]
pub struct RoundReports(Arc<Turn>);

#[derive(Default)]
struct Turn {
    /// Until somebody looks.
    told: Mutex<Told>,
    account: OnceLock<Account>,
}

struct Account {
    rounds: Vec<Arc<RoundReport>>,
    /// Of the last reply, where it led to no round.
    retries: Vec<ModelRetry>,
}

/// What happened in the turn.
#[derive(Default)]
struct Told {
    records: Vec<Batch>,
    /// The end of a turn that the store did not take, and when it was.
    unkept: Option<(u64, Event)>,
}

impl RoundReports {
    pub(crate) fn new(records: Vec<Batch>, unkept: Option<(u64, Event)>) -> Self {
        let told = Mutex::new(Told { records, unkept });
        Self(Arc::new(Turn { told, account: OnceLock::new() }))
    }

    /// The retries of the last reply, where it led to no round.
    pub(crate) fn last_retries(&self) -> &[ModelRetry] {
        &self.account().retries
    }

    fn account(&self) -> &Account {
        let Turn { told, account } = &*self.0;
        account.get_or_init(|| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let Told { records, unkept } = std::mem::take(&mut *told);
            let kept = records.iter().flat_map(|records| records.iter());
            let kept = kept.map(|record| (record.at_us, &record.event));
            let mut rounds = Rounds::default();
            for (at_us, event) in kept.chain(unkept.iter().map(|(at_us, event)| (*at_us, event))) {
                rounds.on(at_us, event);
            }
            Account { rounds: rounds.take(), retries: rounds.take_retries() }
        })
    }
}

impl From<Rounds> for RoundReports {
    /// The accounts of a turn that is over, where they are worked out already.
    fn from(mut rounds: Rounds) -> Self {
        let account = Account { rounds: rounds.take(), retries: rounds.take_retries() };
        Self(Arc::new(Turn { told: Mutex::default(), account: OnceLock::from(account) }))
    }
}

impl Deref for RoundReports {
    type Target = [Arc<RoundReport>];

    fn deref(&self) -> &Self::Target {
        &self.account().rounds
    }
}

impl<'a> IntoIterator for &'a RoundReports {
    type Item = &'a Arc<RoundReport>;
    type IntoIter = std::slice::Iter<'a, Arc<RoundReport>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for RoundReports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}
