//! The soak of the network device notices what it is for. It is one test in a program of its own,
//! because the soak counts what the process holds.

use std::time::Duration;

use vhost_fuzz_harness::broken::soak_net::Wrong;
use vhost_fuzz_harness::soak::net::{Fault, Options, Phase, Place, net};

/// Waits until what an earlier back-end still holds is given back: one that was found wrong ends
/// when it gets to it, and nobody waits for that.
fn settle() {
    let held = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let (mut last, mut same) = (held(), 0);
    for _ in 0..200 {
        if same == 10 {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
        let now = held();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
}

/// What the soak finds in a device.
fn found(wrong: Wrong) -> (Place, Fault) {
    settle();
    let options = Options { patience: Duration::from_secs(2), ..Options::new(7, MOST) };
    let report = net(options, &wrong, |_| {});
    report.failure.unwrap_or_else(|| panic!("{wrong:?} was not noticed: {:?}", report.tally))
}

/// Time within which a mistake is to be noticed.
const MOST: Duration = Duration::from_secs(60);

#[test]
fn a_device_that_is_wrong_is_noticed() {
    let (place, fault) = found(Wrong::KeepsADescriptor);
    let Fault::Left(left) = &fault else { panic!("{place}: {fault}") };
    assert!(fault.to_string().contains("more of anon_inode:[eventfd]"), "{fault}");
    assert!(left.after.descriptors() > left.before.descriptors(), "{fault}");
    assert_eq!((place.front_end, place.phase), (0, Phase::Gone), "by the first front-end");

    let (place, fault) = found(Wrong::ForgetsAnAnswer);
    assert!(matches!(fault, Fault::Unanswered { .. }), "{place}: {fault}");

    let (place, fault) = found(Wrong::Sleeps(Duration::from_secs(4)));
    let is_stall = matches!(
        fault,
        Fault::NotEnded | Fault::Unanswered { .. } | Fault::Talk(_) | Fault::Command { .. }
    );
    assert!(is_stall, "{place}: {fault}");

    let (place, fault) = found(Wrong::Panics);
    assert_eq!(fault, Fault::Panic("broken: at wake-up 1000".to_owned()), "{place}");
}
