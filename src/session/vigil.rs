//! Which arbiters have not answered for too long, and when to ask them: decided without a clock.

use std::time::{Duration, Instant};

/// The longest time between two questions to an arbiter.
const MAX_INTERVAL: Duration = Duration::from_millis(250);
/// The shortest: a limit of nothing would keep a processor busy.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// Watches arbiters. One that has a question and has not answered for `limit` is stuck: counted from
/// its last answer, so that what blocks it is found within `limit`, and has done so for three
/// quarters of it at least.
pub(super) struct Vigil {
    limit: Duration,
    interval: Duration,
    next_questions: Instant,
    /// When it wanted to look again.
    due: Instant,
    arbiters: Vec<Watched>,
}

struct Watched {
    answered: Instant,
    silent_since: Instant,
    has_question: bool,
    stuck: bool,
}

/// What a look shows and what is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub news: Vec<News>,
    /// The arbiters to ask now.
    pub ask: Vec<usize>,
    /// When to look again.
    pub next: Instant,
}

/// What has become of an arbiter. Each is told once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    Stuck { arbiter: usize, silent_for: Duration },
    AnswersAgain { arbiter: usize, stuck_for: Duration },
}

impl Vigil {
    /// Watches so many arbiters, all of them sound at `now`.
    pub fn new(arbiters: usize, limit: Duration, now: Instant) -> Self {
        let watched =
            || Watched { answered: now, silent_since: now, has_question: false, stuck: false };
        Self {
            limit,
            interval: (limit / 4).clamp(MIN_INTERVAL, MAX_INTERVAL),
            next_questions: now,
            due: now,
            arbiters: std::iter::repeat_with(watched).take(arbiters).collect(),
        }
    }

    /// Looks at `now` when each arbiter last answered, as `heard` says.
    pub fn look(&mut self, now: Instant, heard: impl Fn(usize) -> Instant) -> Look {
        // Whoever watches was held up itself: so was perhaps the whole process, and nobody could
        // answer.
        let late = now.saturating_duration_since(self.due);
        let excused = if late > self.interval { late } else { Duration::ZERO };
        let mut news = Vec::new();
        for (arbiter, watched) in self.arbiters.iter_mut().enumerate() {
            let answered = heard(arbiter);
            if answered > watched.answered {
                let stuck_for = answered.saturating_duration_since(watched.silent_since);
                if watched.stuck {
                    news.push(News::AnswersAgain { arbiter, stuck_for });
                }
                let (has_question, stuck) = (false, false);
                *watched = Watched { answered, silent_since: answered, has_question, stuck };
                continue;
            }
            if watched.stuck || !watched.has_question {
                continue;
            }
            watched.silent_since += excused;
            let silent_for = now.saturating_duration_since(watched.silent_since);
            if silent_for >= self.limit {
                watched.stuck = true;
                news.push(News::Stuck { arbiter, silent_for });
            }
        }
        let ask = self.questions(now);
        Look { news, ask, next: self.next() }
    }

    /// The arbiters to ask now. One that has a question gets no other.
    fn questions(&mut self, now: Instant) -> Vec<usize> {
        if now < self.next_questions {
            return Vec::new();
        }
        self.next_questions = now + self.interval;
        let arbiters = self.arbiters.iter_mut().enumerate();
        let unasked = arbiters.filter(|(_, watched)| !watched.has_question);
        unasked
            .map(|(arbiter, watched)| {
                watched.has_question = true;
                arbiter
            })
            .collect()
    }

    /// The next questions, or sooner when an arbiter that does not answer would be stuck.
    fn next(&mut self) -> Instant {
        let silent = self.arbiters.iter().filter(|watched| watched.has_question && !watched.stuck);
        let limits = silent.filter_map(|watched| watched.silent_since.checked_add(self.limit));
        self.due = limits.fold(self.next_questions, Instant::min);
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    /// Looks as often as is wished for until `end` ms, and keeps the news and when they came. Of
    /// `silent` (arbiter, from, to) an arbiter does not answer; otherwise it does at once.
    fn watch(end: u64, silent: (usize, u64, u64)) -> Vec<(u64, News)> {
        let origin = Instant::now();
        let mut vigil = Vigil::new(2, LIMIT, origin);
        let (mut heard, mut asked, mut news) = ([origin; 2], [None; 2], Vec::new());
        let mut now = origin;
        loop {
            let ms = u64::try_from((now - origin).as_millis()).unwrap();
            if ms > end {
                return news;
            }
            for arbiter in 0..2 {
                let held_up = arbiter == silent.0 && (silent.1..silent.2).contains(&ms);
                if let Some(at) = asked[arbiter].take_if(|_| !held_up) {
                    let free = origin + Duration::from_millis(silent.2);
                    let was_held_up = arbiter == silent.0 && at < free && now >= free;
                    heard[arbiter] = if was_held_up { free } else { at };
                }
            }
            let look = vigil.look(now, |arbiter| heard[arbiter]);
            news.extend(look.news.into_iter().map(|news| (ms, news)));
            for arbiter in look.ask {
                asked[arbiter] = Some(now + Duration::from_micros(1));
            }
            assert!(look.next > now && look.next <= now + MAX_INTERVAL);
            now = look.next;
        }
    }

    #[test]
    fn an_arbiter_that_answers_is_no_news() {
        assert_eq!(watch(60_000, (0, 0, 0)), []);
    }

    #[test]
    fn a_pause_within_the_limit_is_no_news() {
        assert_eq!(watch(60_000, (0, 300, 950)), []);
    }

    #[test]
    fn a_stuck_arbiter_is_told_once_within_the_limit_and_once_that_it_answers_again() {
        let news = watch(60_000, (1, 2_100, 9_100));
        let [(found, stuck), (freed, again)] = &news[..] else { panic!("{news:?}") };
        assert!((2_750..=3_100).contains(found), "{news:?}");
        assert!(matches!(stuck, News::Stuck { arbiter: 1, .. }), "{news:?}");
        assert!((9_100..=9_350).contains(freed), "{news:?}");
        let News::AnswersAgain { arbiter: 1, stuck_for } = again else { panic!("{news:?}") };
        assert!((7_000..=7_350).contains(&stuck_for.as_millis()), "{news:?}");
    }

    #[test]
    fn a_watchdog_that_was_held_up_itself_blames_nobody() {
        let origin = Instant::now();
        let mut vigil = Vigil::new(1, LIMIT, origin);
        assert_eq!(vigil.look(origin, |_| origin).ask, [0]);
        let awake = origin + Duration::from_secs(3600);
        let mut now = awake;
        // From now on it has as long as any other.
        loop {
            let look = vigil.look(now, |_| origin);
            if let [News::Stuck { arbiter: 0, silent_for }] = look.news[..] {
                assert_eq!(silent_for, LIMIT);
                assert!(now >= awake + LIMIT - MAX_INTERVAL && now <= awake + LIMIT);
                return;
            }
            assert_eq!(look.news, []);
            now = look.next;
        }
    }
}
