//! The store's thread: takes what waits, writes it in one transaction, answers.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until, timeout};

use super::group::Group;
use super::job::{Change, Job};
use super::readers::{Backoff, Readers};
use super::sessions::{self, Pruned};
use super::statements as sql;
use super::store::{Counts, Patience};
use super::task::{Held, Task};
use super::{Connection, Database, Entry, Failure, Instance, Kind, Process, Statements, Value};
use crate::store::Error;

/// How long a database that is away is tried again once nobody holds the store any more.
const LAST_RETRY: Duration = Duration::from_secs(2);

/// A transaction that takes so much longer than the time for which it is tried again is given up
/// with its connection.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Signs of life in one lease.
const BEATS: u32 = 3;

pub(super) struct Worker {
    database: Rc<Database>,
    statements: Rc<Statements>,
    own: Instance,
    patience: Patience,
    /// `None` when it was lost.
    connection: Option<Connection>,
    readers: Rc<Readers>,
    held: Held,
    counts: Arc<Counts>,
    waiting: VecDeque<Job>,
    jobs: mpsc::UnboundedReceiver<Job>,
    next_beat: Instant,
}

impl Worker {
    /// Serves `jobs` until nobody holds the store any more. `ready` hears whether it can.
    pub async fn run(
        mut database: Database,
        patience: Patience,
        counts: Arc<Counts>,
        jobs: mpsc::UnboundedReceiver<Job>,
        ready: oneshot::Sender<Result<(), Error>>,
    ) {
        let statements = Statements::new(database.words());
        let begun = async {
            let mut connection = database.first().await?;
            let process = Process::current();
            let own =
                Instance::register(&mut connection, &statements, process, patience.lease).await?;
            Ok::<_, Failure>((connection, own))
        };
        let (connection, own) = match begun.await {
            Ok(begun) => begun,
            Err(failure) => return drop(ready.send(Err(failure.error))),
        };
        drop(ready.send(Ok(())));
        let (database, statements) = (Rc::new(database), Rc::new(statements));
        let readers =
            Readers::new(Rc::clone(&database), Rc::clone(&statements), own.clone(), patience.retry);
        let worker = Self {
            database,
            statements,
            next_beat: Instant::now() + patience.lease / BEATS,
            own,
            patience,
            connection: Some(connection),
            readers: Rc::new(readers),
            held: Held::default(),
            counts,
            waiting: VecDeque::new(),
            jobs,
        };
        worker.serve().await;
    }

    async fn serve(mut self) {
        while self.wait().await {
            let group = Group::take(&mut self.waiting);
            if !group.steps.is_empty() {
                let tasks = group.steps.into_iter().map(|step| Task::of(step, &self.held));
                let tasks = tasks.collect();
                self.write(tasks).await;
            }
            for question in group.questions {
                let readers = Rc::clone(&self.readers);
                spawn_local(async move { readers.answer(question).await });
            }
            if let Some(change) = group.change {
                self.change(change).await;
            }
        }
        self.end().await;
    }

    /// Waits until there is something to do, and gives a sign of life when it is time; `false` when
    /// there will be nothing more.
    async fn wait(&mut self) -> bool {
        loop {
            while let Ok(job) = self.jobs.try_recv() {
                self.waiting.push_back(job);
            }
            if Instant::now() >= self.next_beat {
                self.beat().await;
            }
            if !self.waiting.is_empty() {
                // Those who read have their turn too.
                tokio::task::yield_now().await;
                return true;
            }
            tokio::select! {
                biased;
                job = self.jobs.recv() => match job {
                    Some(job) => self.waiting.push_back(job),
                    None => return false,
                },
                () = sleep_until(self.next_beat) => {}
            }
        }
    }

    /// Gives a sign of life. One that does not come through is no harm: a late owner is fenced by the
    /// epoch, and not by the time.
    async fn beat(&mut self) {
        self.next_beat = Instant::now() + self.patience.lease / BEATS;
        let (own, statements) = (self.own.clone(), Rc::clone(&self.statements));
        let limit = self.patience.lease / BEATS;
        let beaten = timeout(limit, self.connected(async |on| own.beat(on, &statements).await));
        match beaten.await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::warn!(error = %failure.error, "no sign of life given"),
            Err(_elapsed) => {
                self.connection = None; // Cut off in the middle of something.
                tracing::warn!("no sign of life given in time");
            }
        }
    }

    /// Runs `act` on the writing connection, which is made anew if it was lost.
    async fn connected<T>(
        &mut self,
        act: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.again().await?,
        };
        let done = act(&mut connection).await;
        if !matches!(&done, Err(failure) if failure.kind == Kind::Lost) {
            self.connection = Some(connection);
        }
        done
    }

    /// Waits before another try; `false` if there shall be none.
    async fn may_wait(&self, backoff: &mut Backoff) -> bool {
        if self.jobs.is_closed() {
            backoff.end_within(LAST_RETRY);
        }
        backoff.wait().await
    }

    /// Carries out `tasks` in one transaction, and answers them. What cannot be done together is
    /// tried one by one, so that nobody fails for another's sake.
    async fn write(&mut self, mut tasks: Vec<Task>) {
        let mut backoff = Backoff::new(self.patience.retry);
        let limit = self.patience.retry.saturating_add(TIME_LIMIT);
        let failure = loop {
            let (own, statements) = (self.own.clone(), Rc::clone(&self.statements));
            let database = Rc::clone(&self.database);
            let transaction =
                Transaction { database: &database, statements: &statements, own: &own };
            let attempt = self.connected(async |on| {
                let tried = timeout(limit, transaction.carry_out(on, &mut tasks));
                tried.await.unwrap_or_else(|_| Err(Failure::lost("no answer in time")))
            });
            match attempt.await.and_then(|()| self.database.check()) {
                Ok(()) => break None,
                Err(failure) if failure.kind == Kind::Refused => break Some(failure),
                Err(failure) => {
                    if !self.may_wait(&mut backoff).await {
                        break Some(failure);
                    }
                }
            }
        };
        // What was removed or replaced under us is no fault of one of them.
        let failure = failure.map(|failure| (failure, self.database.check()));
        let error = match failure {
            None => None,
            Some((_, Err(failure))) => Some(failure.error),
            Some((failure, Ok(()))) if tasks.len() > 1 && failure.kind == Kind::Refused => {
                for task in tasks {
                    Box::pin(self.write(vec![task])).await;
                }
                return;
            }
            Some((failure, Ok(()))) => Some(failure.error),
        };
        let appends = tasks.iter().filter(|task| task.entry().is_some()).count();
        if error.is_none() && appends > 0 {
            let appends = u64::try_from(appends).unwrap_or(u64::MAX);
            self.counts.appends.fetch_add(appends, Ordering::Relaxed);
            self.counts.transactions.fetch_add(1, Ordering::Relaxed);
        }
        for task in tasks {
            task.answer(&mut self.held, error.as_ref());
        }
    }

    /// Carries out `change` in a transaction of its own. One that is cut off is not tried again:
    /// nobody knows how far it came.
    async fn change(&mut self, change: Change) {
        let (own, statements) = (self.own.clone(), Rc::clone(&self.statements));
        match change {
            Change::Make { session, at_us, reply } => {
                let epoch = self.held.removed;
                let make =
                    async |on: &mut Connection| sessions::make(on, &session, epoch, at_us).await;
                let made = self.alone(make).await;
                drop(reply.send(made));
            }
            Change::Fork { session, last_seq, copy, reply } => {
                let epoch = self.held.removed;
                let fork = async |on: &mut Connection| {
                    sessions::fork(on, &statements, &session, last_seq, &copy, epoch).await
                };
                let forked = self.alone(fork).await;
                drop(reply.send(forked));
            }
            Change::Remove { session, access, reply } => {
                let remove = async |on: &mut Connection| {
                    sessions::remove(on, &statements, &own, &session, access).await
                };
                let removed = self.alone(remove).await;
                if removed.is_ok() {
                    self.held.remove(&session);
                }
                drop(reply.send(removed));
            }
            Change::Prune { before_us, after, pruned, reply } => {
                let prune = async |on: &mut Connection| {
                    sessions::prune(on, &statements, &own, before_us, after).await
                };
                match self.alone(prune).await {
                    Ok(Pruned { sessions, last: Some(after) }) => {
                        let pruned = pruned + sessions;
                        let rest = Change::Prune { before_us, after, pruned, reply };
                        self.waiting.push_back(Job::Change(rest));
                    }
                    Ok(Pruned { sessions, last: None }) => drop(reply.send(Ok(pruned + sessions))),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Change::Check { reply } => {
                let checked = self.alone(async |on| own.beat(on, &statements).await).await;
                drop(reply.send(checked.map(|()| self.database.describe())));
            }
        }
    }

    /// Runs `act` in a transaction. It is tried again where another one stood in the way, and where
    /// the connection was lost before it began.
    async fn alone<T>(
        &mut self,
        act: impl AsyncFn(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut backoff = Backoff::new(self.patience.retry);
        let begin = Arc::clone(&self.statements.begin);
        loop {
            let mut has_begun = false;
            let done = self.connected(async |on| {
                on.run(Arc::clone(&begin), Vec::new()).await?;
                has_begun = true;
                let done = match act(on).await {
                    Ok(done) => on.run("COMMIT", Vec::new()).await.map(|_| done),
                    Err(failure) => Err(failure),
                };
                undone(on, done).await
            });
            let failure = match done.await {
                Ok(done) => match self.database.check() {
                    Ok(()) => return Ok(done),
                    Err(failure) => return Err(failure.error),
                },
                Err(failure) => failure,
            };
            let is_final = match failure.kind {
                Kind::Refused => true,
                Kind::Crossed => false,
                Kind::Lost => has_begun,
            };
            if is_final || !self.may_wait(&mut backoff).await {
                return Err(self.database.check().err().unwrap_or(failure).error);
            }
        }
    }

    /// Frees what is still open, and closes the connections.
    async fn end(mut self) {
        let id = self.own.id;
        let own_nothings = Arc::clone(&self.statements.own_nothings);
        let released = self.alone(async |on| {
            let own = || vec![Value::int(id)];
            for mut row in on.run(Arc::clone(&own_nothings), own()).await?.rows {
                sessions::forget(on, row.int()?).await?;
            }
            on.run(sql::RELEASE_ALL, own()).await?;
            on.run(sql::UNREGISTER, own()).await
        });
        if let Err(error) = released.await {
            tracing::warn!(%error, "sessions not released");
        }
        self.readers.close().await;
        if let Some(connection) = self.connection.take() {
            connection.close().await; // The last one writes the write-ahead log back.
        }
    }
}

/// What a transaction of steps needs.
struct Transaction<'a> {
    database: &'a Database,
    statements: &'a Statements,
    own: &'a Instance,
}

impl Transaction<'_> {
    /// Carries out `tasks`, all or none. What an earlier try has committed is found.
    async fn carry_out(
        &self,
        connection: &mut Connection,
        tasks: &mut [Task],
    ) -> Result<(), Failure> {
        let is_append = |task: &Task| task.entry().is_some();
        let are_alone = tasks.iter().all(|task| is_append(task) || task.is_done());
        let done = if are_alone {
            self.append(connection, tasks, true).await
        } else {
            self.carry_out_mixed(connection, tasks).await
        };
        let all_written = undone(connection, done).await?;
        for task in tasks.iter_mut() {
            let judged = task.judge(connection, self.statements, all_written).await;
            // It is committed, and what is tried again must be looked for.
            judged.map_err(|failure| Failure { kind: Kind::Lost, ..failure })?;
        }
        Ok(())
    }

    async fn carry_out_mixed(
        &self,
        connection: &mut Connection,
        tasks: &mut [Task],
    ) -> Result<bool, Failure> {
        connection.run(Arc::clone(&self.statements.begin), Vec::new()).await?;
        for task in tasks.iter_mut() {
            task.carry_out(connection, self.statements, self.own).await?;
        }
        let written = self.append(connection, tasks, false).await?;
        connection.run("COMMIT", Vec::new()).await?;
        Ok(written)
    }

    /// Writes what is to be appended, and says whether all of it was written.
    async fn append(
        &self,
        connection: &mut Connection,
        tasks: &[Task],
        is_alone: bool,
    ) -> Result<bool, Failure> {
        let entries: Vec<&Entry> = tasks.iter().filter_map(Task::entry).collect();
        if entries.is_empty() {
            return Ok(true);
        }
        let (statement, values) = self.database.appends(&entries, is_alone);
        let written = connection.run(statement, values).await?.changed;
        Ok(usize::try_from(written).is_ok_and(|written| written == entries.len()))
    }
}

/// Rolls back what has failed. If that fails too, the connection is of no more use.
async fn undone<T>(connection: &mut Connection, done: Result<T, Failure>) -> Result<T, Failure> {
    match done {
        Err(failure) if failure.kind != Kind::Lost => match connection.roll_back().await {
            Ok(()) => Err(failure),
            Err(_) => Err(Failure { kind: Kind::Lost, ..failure }),
        },
        done => done,
    }
}
