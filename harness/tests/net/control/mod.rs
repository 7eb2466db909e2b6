//! The rules of the control queue, the receive filter and the config space (spec §3.3, §3.6, §7.3),
//! one by one, with the device of the core.

mod commands;
mod config;
mod filter;
mod offers;
mod steering;

use vhost_fuzz_core::net::control::{Control, ControlError, Outcome};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_harness::control::{ALL, Setup};

/// A device with everything.
fn control() -> Control {
    with(ALL)
}

/// A device with these features.
fn with(features: Features) -> Control {
    let mut control = Control::new(Setup::default().config()).expect("a good configuration");
    control.negotiated(features);
    control
}

/// What comes of a command that has no result. One that is refused changes nothing.
#[track_caller]
fn tell(control: &mut Control, class: u8, command: u8, data: &[u8]) -> Result<(), ControlError> {
    let before = control.clone();
    let bytes = [&[class, command], data].concat();
    let mut room = [0xa5; 64];
    let told = control.handle(&mut &bytes[..], &mut &mut room[..]).expect("bytes can be read");
    assert_eq!(room, [0xa5; 64], "there is no result");
    match told {
        Outcome::Done { len } => {
            assert_eq!((len, told.ack(), told.used_len()), (0, 0, 1));
            Ok(())
        }
        Outcome::Refused(error) => {
            assert_eq!((told.ack(), told.used_len()), (1, 1));
            assert_eq!(*control, before, "a refused command changes nothing");
            Err(error)
        }
    }
}
