//! What a driver reads, and which devices there are.

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::config_space::{ConfigSpace, LEN};
use vhost_fuzz_core::net::control::{ConfigError, Control, ControlConfig, Duplex, Hashing};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::control::{ALL, MAC};
use vhost_fuzz_harness::evidence::shows;

use super::{control, tell};

fn config() -> ControlConfig {
    ControlConfig::new(MAC)
}

#[test]
fn a_device_that_cannot_be_is_refused() {
    let _shows = shows(&["NET-020", "NET-021", "DC-149"]);
    for mtu in [68, 1280, u16::MAX] {
        let control = Control::new(ControlConfig { mtu: Some(mtu), ..config() });
        assert_eq!(control.expect("a good MTU").config_space().mtu, mtu);
    }
    for mtu in [0, 1, 67] {
        let refused = Control::new(ControlConfig { mtu: Some(mtu), ..config() });
        assert_refused!(refused, ConfigError::Mtu { mtu });
    }
    for pairs in [1, 2, 0x8000] {
        let control = Control::new(ControlConfig { pairs, ..config() }).expect("good pairs");
        assert_eq!(control.config_space().max_virtqueue_pairs, pairs);
    }
    for pairs in [0, 0x8001, u16::MAX] {
        let refused = Control::new(ControlConfig { pairs, ..config() });
        assert_refused!(refused, ConfigError::Pairs { pairs });
    }
    for mac in [Mac::BROADCAST, Mac([1, 0, 0x5e, 0, 0, 1]), Mac::ZERO] {
        let refused = Control::new(ControlConfig { mac, ..config() });
        assert_refused!(refused, ConfigError::Mac { mac });
    }
    for speed in [1 << 31, u32::MAX - 1] {
        let refused = Control::new(ControlConfig { speed, ..config() });
        assert_refused!(refused, ConfigError::Speed { speed });
    }
    let hashing = |hashing| Control::new(ControlConfig { hashing: Some(hashing), ..config() });
    let good = Hashing::default();
    assert_refused!(hashing(Hashing { key_max: 39, ..good }), ConfigError::Key { len: 39 });
    assert_refused!(hashing(Hashing { table_max: 127, ..good }), ConfigError::Table { len: 127 });
    let refused = hashing(Hashing { types: 0x200, ..good });
    assert_refused!(refused, ConfigError::HashTypes { types: 0x200 });
}

#[test]
fn the_fields_are_those_of_the_device() {
    let _shows = shows(&["NET-020", "NET-021"]);
    let config = ControlConfig {
        mtu: Some(9000),
        pairs: 0x102,
        speed: 0x0403_0201,
        duplex: Duplex::Full,
        hashing: Some(Hashing { key_max: 52, table_max: 0x180, types: 0x13f }),
        ..config()
    };
    let mut control = Control::new(config).expect("a good configuration");
    let expected = [
        2, 0, 0, 0, 0, 1, 1, 0, 2, 1, 0x28, 0x23, 1, 2, 3, 4, 1, 52, 0x80, 1, 0x3f, 1, 0, 0, 0, 0,
        0, 0,
    ];
    assert_eq!(control.config_space().bytes(), expected);
    for features in [ALL, Default::default()] {
        control.negotiated(features);
        assert_eq!(control.config_space().bytes(), expected, "whatever was negotiated");
    }
    let plain = Control::new(self::config()).expect("a good configuration").config_space();
    let ConfigSpace { mtu, speed, duplex, rss_max_key_size, supported_hash_types, .. } = plain;
    assert_eq!((mtu, speed, duplex), (0, u32::MAX, 0xff));
    assert_eq!((rss_max_key_size, supported_hash_types), (0, 0));
    assert_eq!([Duplex::Half, Duplex::Full].map(Duplex::byte), [0, 1]);
}

#[test]
fn every_window_can_be_read_and_none_be_written() {
    let _shows = shows(&["NET-053", "NET-054", "DC-149"]);
    let mut control = control();
    assert_eq!(tell(&mut control, 1, 1, &[2, 3, 4, 5, 6, 7]), Ok(()));
    assert!(control.announce());
    let all = control.config_space().bytes();
    assert_eq!((&all[..8], all.len()), (&[2, 3, 4, 5, 6, 7, 3, 0][..], LEN));
    for offset in 0..=30 {
        for len in 0..=30 {
            let mut window = vec![0xa5; len];
            control.config_space().read(offset as u64, &mut window);
            let expected = all.iter().copied().skip(offset).chain(std::iter::repeat(0));
            assert_eq!(window, expected.take(len).collect::<Vec<_>>(), "{offset} {len}");
        }
    }
    for offset in [u64::MAX, u64::MAX - 27, u64::from(u32::MAX), 1 << 63] {
        let mut window = [0xa5; 300];
        control.config_space().read(offset, &mut window);
        assert_eq!(window, [0; 300]);
    }
    let before = control.clone();
    for offset in [0, 6, 27, u64::MAX] {
        control.write_config(offset, &[0xff; 28]);
        assert_eq!(control, before);
    }
}
