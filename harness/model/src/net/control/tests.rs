use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn config() -> Config {
    Config { mac: MAC, mtu: 0, pairs: 2, addresses: 1, speed: 0, duplex: 0, hashing: None }
}

fn device() -> Device {
    let mut device = Device::new(config()).unwrap();
    device.negotiated(u128::MAX);
    device
}

fn frame(to: [u8; 6]) -> Vec<u8> {
    [&to[..], &[2, 0, 0, 0, 0, 9, 8, 0]].concat()
}

#[test]
fn a_mode_is_on_or_off() {
    let mut device = device();
    assert!(!device.accepts(&frame([2; 6])));
    assert_eq!(device.command(&[0, 0, 1], 0), Ok(vec![]));
    assert!(device.accepts(&frame([2; 6])));
    assert_eq!(device.command(&[0, 0, 2], 0), Err(Id::Dc(142)));
    assert_eq!(device.command(&[0, 0], 0), Err(Id::Net(38)));
    assert_eq!(device.command(&[0, 6, 0], 0), Err(Id::Net(39)));
}

#[test]
fn a_table_that_is_too_long_lets_all_pass() {
    let mut device = device();
    let table = [&[1, 0, 0, 0][..], &[2; 6], &[2, 0, 0, 0], &[1; 12]].concat();
    let table = [&[1, 0][..], &table].concat();
    assert_eq!(device.command(&table, 0), Ok(vec![]));
    assert!(device.accepts(&frame([2; 6])) && !device.accepts(&frame([4; 6])));
    assert!(device.accepts(&frame([3; 6])), "any multicast");
    assert_eq!(device.command(&table[..table.len() - 1], 0), Err(Id::Net(43)));
}

#[test]
fn the_tunnels_have_other_bits_in_the_command() {
    let mut device = device();
    let mut bits = 0_u64;
    for (_, bit) in OFFLOADS {
        bits += 1 << bit;
    }
    let set = |bits: u64| [&[5, 0][..], &bits.to_le_bytes()].concat();
    assert_eq!(device.command(&set(bits), 0), Ok(vec![]));
    assert_eq!(device.offloads(), u128::MAX);
    assert_eq!(device.command(&set(bits - (1 << 46)), 0), Ok(vec![]));
    assert_eq!(device.offloads(), u128::MAX - (1 << 65));
    assert_eq!(device.command(&set(1 << 5), 0), Err(Id::Net(52)));
}

#[test]
fn a_bad_configuration_is_none() {
    for (config, id) in [
        (Config { mac: [1; 6], ..config() }, Id::Dc(149)),
        (Config { mtu: 67, ..config() }, Id::Net(20)),
        (Config { pairs: 0, ..config() }, Id::Net(21)),
        (Config { pairs: 0x8001, ..config() }, Id::Net(21)),
        (Config { speed: 1 << 31, ..config() }, Id::Dc(149)),
        (Config { hashing: Some((39, 128, 0)), ..config() }, Id::Dc(149)),
    ] {
        assert_eq!(Device::new(config), Err(id));
    }
}
