//! Who has a session, and whether it lives.

use std::time::Duration;

use super::{Connection, Failure, Process, Row, Statements, Value};
use crate::store::Owner;

/// An unused instance from another host is forgotten when it has been silent for so many leases.
const FORGOTTEN_AFTER: u32 = 20;

/// This process as the database knows it.
#[derive(Clone, Debug)]
pub(in crate::store) struct Instance {
    pub id: u64,
    pub process: Process,
    /// How long another one of another host may be silent until it counts as dead.
    pub lease: Duration,
}

/// An instance that has a session, or has none any more.
#[derive(Clone, Debug)]
pub(in crate::store) struct Holder {
    pub id: u64,
    process: Process,
    silent: Duration,
}

impl Holder {
    /// Takes the columns of an owner from `row`; `None` if there is none.
    pub fn read(row: &mut Row) -> Result<Option<Self>, Failure> {
        let id = row.optional_int()?;
        let process = Process {
            host: row.text()?.into(),
            host_key: row.text()?,
            pid: row.int()?,
            started: row.int()?,
        };
        // A clock that was set back makes it negative, which is read as nothing.
        let silent = Duration::from_millis(row.int()?);
        Ok(id.map(|id| Self { id, process, silent }))
    }
}

impl Instance {
    /// Enters this process, and forgets those that are gone and have nothing.
    pub async fn register(
        connection: &mut Connection,
        statements: &Statements,
        process: Process,
        lease: Duration,
    ) -> Result<Self, Failure> {
        let row = connection.run(&*statements.register, values(&process)).await?.into_row();
        let id = match row {
            Some(mut row) => row.int()?,
            None => return Err(Failure::damaged("no number for this process".to_owned())),
        };
        let own = Self { id, process, lease };
        let idle = connection.run(&*statements.idle_instances, Vec::new()).await?;
        for mut row in idle.rows {
            let Some(idle) = Holder::read(&mut row)? else { continue };
            let is_gone = match own.process.sees_running(&idle.process) {
                Some(is_running) => !is_running,
                None => idle.silent > lease * FORGOTTEN_AFTER,
            };
            if is_gone {
                connection.run(super::statements::UNREGISTER, vec![Value::int(idle.id)]).await?;
            }
        }
        Ok(own)
    }

    /// Says that this process lives.
    pub async fn beat(
        &self,
        connection: &mut Connection,
        statements: &Statements,
    ) -> Result<(), Failure> {
        let mut values = values(&self.process);
        values.push(Value::int(self.id));
        connection.run(&*statements.beat, values).await.map(drop)
    }

    /// The owner, if it lives: by its process on this host, and by its last sign of life elsewhere.
    pub fn living(&self, holder: Option<&Holder>) -> Option<Owner> {
        let holder = holder?;
        let lives = match self.process.sees_running(&holder.process) {
            Some(is_running) => is_running,
            None => holder.id == self.id || holder.silent < self.lease,
        };
        let is_here = holder.id == self.id || holder.process == self.process;
        lives.then(|| holder.process.owner(is_here))
    }
}

fn values(process: &Process) -> Vec<Value> {
    vec![
        Value::text(&*process.host),
        Value::text(&*process.host_key),
        Value::int(process.pid),
        Value::int(process.started),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_elsewhere_lives_as_long_as_it_is_heard() {
        let process = Process::current();
        let own = Instance { id: 1, process: process.clone(), lease: Duration::from_secs(30) };
        let elsewhere = Process { host: "far".into(), host_key: "far".to_owned(), ..process };
        let holder = |silent| Holder {
            id: 2,
            process: elsewhere.clone(),
            silent: Duration::from_secs(silent),
        };
        let living = |silent| own.living(Some(&holder(silent))).map(|owner| owner.host);
        assert_eq!(living(29).as_deref(), Some("far"));
        assert_eq!(living(30), None);
        assert_eq!(own.living(None), None);
    }
}
