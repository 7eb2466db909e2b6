//! Commands that are nearly right, one after another, against the model.

use fastrand::Rng;
use vhost_fuzz_core::net::control::Control;
use vhost_fuzz_harness::control::{Setup, draw, judge};

#[test]
fn any_commands_are_answered_as_the_model_says() {
    let (mut done, mut refused) = (0, 0);
    for seed in 0..500 {
        let mut rng = Rng::with_seed(seed);
        let setup = match seed % 4 {
            0 => Setup { pairs: 1, addresses: 0, mtu: None, hashing: None },
            1 => Setup { pairs: rng.u16(1..9), addresses: rng.u16(..9), ..Setup::default() },
            _ => Setup::default(),
        };
        let tally = judge::<Control>(setup, &draw::steps(&mut rng, setup, 30));
        done += tally.done;
        refused += tally.broken.len();
    }
    assert!(done > 4000 && refused > 3000, "{done} done, {refused} refused");
}

#[test]
fn the_largest_device_is_like_any_other() {
    let setup = Setup { pairs: 0x8000, addresses: u16::MAX, ..Setup::default() };
    let mut rng = Rng::with_seed(1);
    let tally = judge::<Control>(setup, &draw::steps(&mut rng, setup, 60));
    assert!(tally.done > 10);
}
