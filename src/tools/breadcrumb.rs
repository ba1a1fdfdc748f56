//! Which tool's code runs on an arbiter's thread now: what there is to say of a thread that does
//! not come back.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tool that one thread is in. That thread leaves it, any other may read it.
///
/// Entering and leaving cost a relaxed store each: a reader sees them soon, and needs no more.
#[derive(Debug, Default)]
pub(crate) struct Breadcrumb {
    /// 0 outside of tools, else a place in `names`, counted from 1.
    inside: AtomicU32,
    names: Mutex<Vec<Arc<str>>>,
}

impl Breadcrumb {
    /// The number to [`Breadcrumb::enter`] the tool `name` with; the same each time.
    pub fn register(&self, name: &Arc<str>) -> u32 {
        let mut names = self.names();
        let known = names.iter().position(|known| Arc::ptr_eq(known, name) || known == name);
        let index = known.unwrap_or_else(|| {
            names.push(Arc::clone(name));
            names.len() - 1
        });
        u32::try_from(index + 1).unwrap_or(0) // Beyond all reckoning: it goes unnamed.
    }

    /// The thread runs code of the tool that was registered as `place`, until it leaves. Tools do
    /// not nest: each is polled by its session's task alone.
    pub fn enter(&self, place: u32) {
        self.inside.store(place, Ordering::Relaxed);
    }

    /// The thread runs code of no tool.
    pub fn leave(&self) {
        self.inside.store(0, Ordering::Relaxed);
    }

    /// The tool whose code runs now, if one does.
    pub fn tool(&self) -> Option<Arc<str>> {
        let index = self.inside.load(Ordering::Relaxed).checked_sub(1)?;
        self.names().get(usize::try_from(index).ok()?).cloned()
    }

    fn names(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The breadcrumb of a thread and a tool's place there.
#[derive(Debug, Default)]
pub(crate) struct Mark {
    breadcrumb: Arc<Breadcrumb>,
    place: u32,
}

impl Mark {
    /// That of `tool`.
    pub fn new(breadcrumb: &Arc<Breadcrumb>, tool: &Arc<str>) -> Self {
        Self { breadcrumb: Arc::clone(breadcrumb), place: breadcrumb.register(tool) }
    }

    /// The tool's code runs from now on.
    pub fn enter(&self) {
        self.breadcrumb.enter(self.place);
    }

    /// It does no longer.
    pub fn leave(&self) {
        self.breadcrumb.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_tool_between_entering_and_leaving() {
        let breadcrumb = Breadcrumb::default();
        let spin = breadcrumb.register(&"spin".into());
        let nap = breadcrumb.register(&"nap".into());
        assert_eq!(breadcrumb.tool(), None);
        breadcrumb.enter(nap);
        assert_eq!(breadcrumb.tool().as_deref(), Some("nap"));
        breadcrumb.enter(spin);
        assert_eq!(breadcrumb.tool().as_deref(), Some("spin"));
        breadcrumb.leave();
        assert_eq!(breadcrumb.tool(), None);
    }

    #[test]
    fn a_name_is_kept_once() {
        let breadcrumb = Breadcrumb::default();
        let places = ["a", "b", "a", "b"].map(|name| breadcrumb.register(&name.into()));
        assert_eq!(places, [1, 2, 1, 2]);
    }
}
