//! Which of the jobs that wait are done together.

use std::collections::{HashSet, VecDeque};

use super::job::{Change, Job, Question, Step};
use crate::conversation::SessionId;

/// As many steps go into one transaction at most.
pub(in crate::store) const MAX_STEPS: usize = 256;

/// As many records at most, unless the first batch has more: so few that nobody waits long.
const MAX_RECORDS: usize = 2048;

/// Jobs that are done together: the steps in one transaction, then the questions beside what comes
/// next, then the change.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Each of another session.
    pub steps: Vec<Step>,
    pub questions: Vec<Question>,
    pub change: Option<Change>,
}

impl Group {
    /// Takes the jobs at the head of `waiting` that can be done together. Of one session nothing
    /// overtakes anything.
    pub fn take(waiting: &mut VecDeque<Job>) -> Self {
        let mut group = Self::default();
        let mut taken: HashSet<SessionId, ahash::RandomState> = HashSet::default();
        let mut records = 0;
        while let Some(job) = waiting.pop_front() {
            match job {
                Job::Step(step) => {
                    let more = match &step {
                        Step::Append { records, .. } => records.len(),
                        Step::Open { .. } | Step::Close { .. } | Step::KeepResult { .. } => 1,
                    };
                    let is_full = group.steps.len() >= MAX_STEPS
                        || (records > 0 && records + more > MAX_RECORDS);
                    if is_full || !taken.insert(step.session().clone()) {
                        waiting.push_front(Job::Step(step));
                        break;
                    }
                    records += more;
                    group.steps.push(step);
                }
                Job::Question(question) => {
                    taken.extend(question.session().cloned());
                    group.questions.push(question);
                }
                Job::Change(change) => {
                    group.change = Some(change);
                    break;
                }
            }
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::conversation::{Event, Record};

    fn append(session: &str, records: u64) -> Job {
        let session = SessionId::new(session);
        let event = Event::SessionOpened { system: None, history: None };
        let record =
            |seq| Record { v: 1, seq, at_us: 1, session: session.clone(), event: event.clone() };
        let records = Arc::new((1..=records).map(record).collect());
        let reply = oneshot::channel().0;
        Job::Step(Step::Append { session, expected: 0, epoch: 1, records, reply })
    }

    fn read(session: &str) -> Job {
        let (session, reply) = (SessionId::new(session), oneshot::channel().0);
        Job::Question(Question::Read { session, after: 0, limit: None, reply })
    }

    fn prune() -> Job {
        let reply = oneshot::channel().0;
        Job::Change(Change::Prune { before_us: 0, after: 0, pruned: 0, reply })
    }

    /// How many steps and questions each group has, and whether it has a change.
    fn groups(jobs: impl IntoIterator<Item = Job>) -> Vec<(usize, usize, bool)> {
        let mut waiting: VecDeque<Job> = jobs.into_iter().collect();
        let mut groups = Vec::new();
        while !waiting.is_empty() {
            let group = Group::take(&mut waiting);
            groups.push((group.steps.len(), group.questions.len(), group.change.is_some()));
        }
        groups
    }

    #[test]
    fn appends_of_many_sessions_go_together() {
        let jobs = (0..MAX_STEPS + 1).map(|number| append(&number.to_string(), 3));
        assert_eq!(groups(jobs), [(MAX_STEPS, 0, false), (1, 0, false)]);
        let large = [append("a", 5000), append("b", 1), append("c", 2000)];
        assert_eq!(groups(large), [(1, 0, false), (2, 0, false)]);
    }

    #[test]
    fn nothing_of_one_session_overtakes_anything() {
        let jobs = [append("a", 1), append("b", 1), append("a", 1)];
        assert_eq!(groups(jobs), [(2, 0, false), (1, 0, false)]);
        let jobs = [append("a", 1), read("a"), append("b", 1), append("a", 1)];
        assert_eq!(groups(jobs), [(2, 1, false), (1, 0, false)]);
        let jobs = [append("a", 1), prune(), append("b", 1)];
        assert_eq!(groups(jobs), [(1, 0, true), (1, 0, false)]);
    }
}
