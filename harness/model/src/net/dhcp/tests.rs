use super::*;

fn config() -> Config {
    Config {
        address: [192, 0, 2, 10],
        prefix: 24,
        server: [192, 0, 2, 1],
        values: vec![(1, vec![255, 255, 255, 0]), (3, vec![192, 0, 2, 1]), (26, vec![5, 220])],
        next_server: NONE,
        mtu: 1500,
        lease: 80,
        guest: None,
        is_authoritative: true,
        serves_relays: false,
        commits_rapidly: false,
        hold_ms: 10,
    }
}

fn payload(options: &[u8]) -> Vec<u8> {
    let mut payload = vec![1, 1, 6, 0, 1, 2, 3, 4];
    payload.resize(28, 0);
    payload.extend([2, 0, 0, 0, 0, 1]);
    payload.resize(236, 0);
    payload.extend([0x63, 0x82, 0x53, 0x63]);
    payload.extend(options);
    payload
}

fn input(payload: &[u8]) -> Input<'_> {
    let ethernet_source = [2, 0, 0, 0, 0, 1];
    Input { payload, ethernet_source, source: NONE, destination: ALL, port: 67 }
}

#[test]
fn options_are_read_in_the_order_of_their_fields() {
    let mut bytes = payload(&[53, 1, 3, 52, 1, 3, 12, 1, b'a', 255]);
    bytes[108..112].copy_from_slice(&[12, 1, b'b', 255]);
    bytes[44..48].copy_from_slice(&[12, 1, b'c', 255]);
    assert_eq!(read(&bytes).unwrap().option(12), Some(&b"abc"[..]));
    bytes[45] = 63;
    assert_eq!(read(&bytes), Err(Id::Dh(5)));
    assert_eq!(read(&payload(&[53])), Err(Id::Dh(2)));
    assert_eq!(read(&payload(&[53, 2, 1, 1])), Err(Id::Dh(9)));
    assert_eq!(read(&payload(&[12, 0])), Err(Id::Dh(1)));
}

#[test]
fn a_client_is_offered_the_address_and_gets_it() {
    let mut machine = Machine::new(config());
    let discover = payload(&[53, 1, 1, 55, 2, 59, 3, 255]);
    let Ok(Said::Reply { bytes, destination, port, mac }) = machine.take(&input(&discover), 0)
    else {
        panic!("no offer")
    };
    assert_eq!((destination, port, mac), ([192, 0, 2, 10], 68, [2, 0, 0, 0, 0, 1]));
    let options = [
        &[53, 1, 2, 54, 4, 192, 0, 2, 1, 51, 4, 0, 0, 0, 80][..],
        &[59, 4, 0, 0, 0, 70, 1, 4, 255, 255, 255, 0, 3, 4, 192, 0, 2, 1, 255],
    ]
    .concat();
    assert_eq!(bytes[240..240 + options.len()], options);
    assert_eq!(bytes.len(), 300);
    assert_eq!(machine.offered_to(), Some(&[1, 2, 0, 0, 0, 0, 1][..]));
    let request = payload(&[53, 1, 3, 50, 4, 192, 0, 2, 10, 54, 4, 192, 0, 2, 1]);
    assert!(matches!(machine.take(&input(&request), 5), Ok(Said::Reply { .. })));
    assert_eq!(machine.lease(80_004), Some((&[1, 2, 0, 0, 0, 0, 1][..], Some(80_005))));
    assert_eq!((machine.lease(80_005), machine.offered_to()), (None, None));
}

#[test]
fn a_declined_address_is_held_back() {
    let mut machine = Machine::new(config());
    let decline = payload(&[53, 1, 4, 50, 4, 192, 0, 2, 10, 54, 4, 192, 0, 2, 1]);
    assert_eq!(machine.take(&input(&decline), 100), Ok(Said::Nothing(Id::Dh(33))));
    let discover = payload(&[53, 1, 1]);
    assert_eq!(machine.take(&input(&discover), 109), Ok(Said::Nothing(Id::Dh(34))));
    assert!(matches!(machine.take(&input(&discover), 110), Ok(Said::Reply { .. })));
    assert_eq!(machine.declines(), 1);
}
