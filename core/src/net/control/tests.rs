//! What only this module can see.

use super::{Control, ControlConfig, ControlError, Hashing, Outcome, Source, Target};
use crate::net::Mac;
use crate::net::header::Features;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn control() -> Control {
    let hashing = Some(Hashing::default());
    let config = ControlConfig { pairs: 4, addresses: 2, hashing, ..ControlConfig::new(MAC) };
    let mut control = Control::new(config).unwrap();
    control.negotiated(Features::from_bits(u128::MAX));
    control
}

fn tell(control: &mut Control, command: &[u8]) -> Result<u32, ControlError> {
    let mut room = [0; 16];
    control.handle(&mut &*command, &mut &mut room[..]).unwrap().result()
}

#[test]
fn bytes_are_a_source_and_a_target() {
    let mut source = &[1, 2, 3, 4, 5][..];
    let mut two = [0; 2];
    assert_eq!((source.read_exact(&mut two), two, source.remaining()), (Ok(true), [1, 2], 3));
    assert_eq!((source.read_exact(&mut [0; 4]), source.remaining()), (Ok(false), 3));
    assert_eq!((source.skip(2), source.skip(u64::MAX), source.remaining()), (2, 1, 0));
    let mut bytes = [0; 4];
    let mut target = &mut bytes[..];
    assert_eq!((target.write(&[1, 2, 3]), target.remaining()), (Ok(3), 1));
    assert_eq!((target.write(&[4, 5]), target.remaining()), (Ok(1), 0));
    assert_eq!((target.write(&[6]), bytes), (Ok(0), [1, 2, 3, 4]));
}

#[test]
fn a_table_that_is_bad_at_its_end_is_not_taken() {
    let mut control = control();
    let one = [&[1, 0, 1, 0, 0, 0][..], &[2, 0, 0, 0, 0, 9], &[0; 4]].concat();
    assert_eq!(tell(&mut control, &one), Ok(0));
    let before = control.clone();
    let other = [&[1, 0, 1, 0, 0, 0][..], &[2, 0, 0, 0, 0, 8], &[1, 0, 0, 0, 1]].concat();
    let short = ControlError::Table { count: 1, have: 1 };
    assert_eq!(tell(&mut control, &other), Err(short));
    assert_eq!(control, before);
}

#[test]
fn a_used_length_is_that_of_the_ack_and_the_result() {
    assert_eq!((Outcome::Done { len: 8 }.used_len(), Outcome::Done { len: 0 }.ack()), (9, 0));
    let refused = Outcome::Refused(ControlError::Mode { value: 2 });
    assert_eq!((refused.used_len(), refused.ack()), (1, 1));
}

#[test]
fn a_reset_forgets_everything_but_the_link() {
    let mut control = control();
    let fresh = control.clone();
    for command in [
        &[0, 0, 1][..],
        &[1, 1, 2, 0, 0, 0, 0, 7],
        &[2, 0, 5, 0],
        &[4, 0, 3, 0],
        &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[6, 0, 1, 0, 0, 0, 1, 0, 0, 0],
    ] {
        assert_eq!(tell(&mut control, command), Ok(0), "{command:?}");
        assert_ne!(control, fresh, "{command:?}");
    }
    assert!(control.announce());
    control.set_enabled(0, false);
    control.negotiated(fresh.features());
    assert_eq!(control, fresh);
    assert!(control.set_link(false));
    control.reset();
    assert_eq!((control.features(), control.config_space().status), (Features::default(), 0));
}

#[test]
fn every_error_says_which_rule_it_is_about() {
    let (class, command, need, have, pairs, max, types) = (1, 2, 3, 4, 5, 6, 7);
    for error in [
        ControlError::Short { need, have },
        ControlError::Unknown { class, command },
        ControlError::NotNegotiated { class, command },
        ControlError::Mode { value: 2 },
        ControlError::Table { count: 1, have },
        ControlError::Address { mac: Mac::ZERO },
        ControlError::Vlan { vlan: 4095 },
        ControlError::Pairs { pairs, max },
        ControlError::Offloads { bits: 1 },
        ControlError::Queue { queue: 9 },
        ControlError::HashTypes { types, supported: 0 },
        ControlError::TableSize { mask: 2, max: 128 },
        ControlError::Steer { pair: 9 },
        ControlError::Transmit { pairs, max },
        ControlError::Key { len: 41, max: 40 },
        ControlError::TunnelTypes { types },
        ControlError::NoRoom { need, have },
    ] {
        assert!(error.to_string().ends_with(&format!(": {}", error.rule())), "{error}");
    }
}
