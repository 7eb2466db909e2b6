//! Runs code of others: when it panics, that is its verdict, and nobody hears of it.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Makes this thread quiet until it is dropped.
struct Quiet;

impl Quiet {
    fn begin() -> Self {
        IS_QUIET.set(true);
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        IS_QUIET.set(false);
    }
}

/// What `run` returns, or `None` if it panics.
///
/// The panic reaches no hook that was there before, so that one which aborts the process, as
/// libFuzzer's does, takes it for what it is. Panics outside of `run` go to those hooks as ever.
pub(super) fn run<T>(run: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    if !HOOK.is_completed() {
        HOOK.call_once(|| {
            let next = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if !IS_QUIET.get() {
                    next(info);
                }
            }));
        });
    }
    let _quiet = Quiet::begin();
    panic::catch_unwind(AssertUnwindSafe(run)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_panic_is_a_verdict_and_no_hook_hears_of_it() {
        static HEARD: AtomicUsize = AtomicUsize::new(0);
        assert_eq!(run(|| 7), Some(7));
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some("outside") {
                HEARD.fetch_add(1, Ordering::Relaxed);
            } else {
                next(info);
            }
        }));
        // The hook above stands before the quiet one, as one that was set later does.
        assert_eq!(run(|| panic!("the verdict")), None::<()>);
        assert!(!IS_QUIET.get());
        let outside = std::thread::Builder::new().name("outside".to_owned());
        assert!(outside.spawn(|| panic!("heard")).expect("a thread").join().is_err());
        assert_eq!(HEARD.load(Ordering::Relaxed), 1);
    }
}
