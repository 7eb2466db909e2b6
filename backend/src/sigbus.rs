//! Memory that goes away: a front-end may shorten a file that we have mapped (HZ-46).
//!
//! The kernel answers an access beyond the end of a file with `SIGBUS`, which ends the process. With
//! [`install`] the pages of such a mapping become zeros of our own, the mapping is marked as
//! [lost](crate::Mapping::is_lost), and the access goes on. Whoever serves the front-end then ends the
//! connection: what is read there is worth nothing any more.
//!
//! Signal handlers belong to a process, not to a library: only a program calls [`install`].

#![expect(unsafe_code, reason = "a signal handler, and the pages that it puts over others")]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::libc::siginfo_t;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Mappings that can be watched at a time: as many regions as a session has, and then some.
const SLOTS: usize = 1024;

/// A mapping in the table that the handler reads. A free slot has no length.
struct Slot {
    start: AtomicUsize,
    len: AtomicUsize,
    is_lost: AtomicBool,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot { start: AtomicUsize::new(0), len: AtomicUsize::new(0), is_lost: AtomicBool::new(false) }
}; SLOTS];

/// The slot is being filled or emptied.
const BUSY: usize = usize::MAX;

/// A mapping that the handler knows. It is forgotten when this is dropped, which has to be before
/// the mapping ends.
#[derive(Debug)]
pub(crate) struct Watched(Option<usize>);

impl Watched {
    /// Watches whole pages. With too many mappings it watches nothing, as without a handler.
    pub(crate) fn new(start: usize, len: usize) -> Self {
        let slot = TABLE.iter().position(|slot| {
            slot.len.compare_exchange(0, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
        });
        if let Some(slot) = slot.and_then(|slot| TABLE.get(slot)) {
            slot.start.store(start, Ordering::Relaxed);
            slot.is_lost.store(false, Ordering::Relaxed);
            slot.len.store(len, Ordering::Release);
        }
        Self(slot)
    }

    fn slot(&self) -> Option<&'static Slot> {
        TABLE.get(self.0?)
    }

    /// Whether pages of it were not in their file when they were accessed.
    pub(crate) fn is_lost(&self) -> bool {
        self.slot().is_some_and(|slot| slot.is_lost.load(Ordering::Acquire))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(slot) = self.slot() {
            slot.len.store(0, Ordering::Release);
        }
    }
}

/// Makes this process survive memory that goes away.
///
/// # Errors
/// What the system says.
pub fn install() -> std::io::Result<()> {
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_NODEFER | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::SigAction(on_signal), flags, SigSet::empty());
    // SAFETY: the handler only does what a handler may: it reads and writes atomics and makes
    // system calls.
    unsafe { sigaction(Signal::SIGBUS, &action) }?;
    Ok(())
}

extern "C" fn on_signal(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: with `SA_SIGINFO` the kernel hands over a `siginfo_t`, and that of `SIGBUS` has an
    // address.
    let address = unsafe { (*info).si_addr() }.addr();
    let hit = TABLE.iter().find_map(|slot| {
        let len = slot.len.load(Ordering::Acquire);
        let start = slot.start.load(Ordering::Relaxed);
        let is_hit = len != BUSY && address.wrapping_sub(start) < len;
        is_hit.then_some((slot, start, len))
    });
    let is_mended = hit.is_some_and(|(slot, start, len)| {
        slot.is_lost.store(true, Ordering::Release);
        put_zeros(start, len)
    });
    if !is_mended {
        // Not ours: the access faults again and ends the process, as without a handler.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { sigaction(Signal::SIGBUS, &default) };
    }
}

/// Puts pages of zeros over a mapping.
fn put_zeros(start: usize, len: usize) -> bool {
    let at = std::ptr::with_exposed_provenance_mut::<c_void>(start);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the range is a mapping of ours as long as it is in the table; it is accessed as
    // volatile memory only, which may change at any moment; and who owns it unmaps the same
    // range, whatever is there.
    unsafe { mmap_anonymous(at, len, ProtFlags::READ | ProtFlags::WRITE, flags) }.is_ok()
}
