use proptest::prelude::*;

use super::bytes::with_length;
use super::keys::mac;
use super::*;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let digit = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    assert_eq!(text.len(), 2 * N);
    std::array::from_fn(digit)
}

/// RFC 8448, 3.
#[test]
fn the_secrets_are_those_of_the_published_trace() {
    let shared: [u8; 32] = hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
    let hello = hex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8");
    let schedule = Schedule::handshake(&shared, &hello);
    assert_eq!(
        schedule.client,
        hex("b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21")
    );
    assert_eq!(
        schedule.server,
        hex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
    );
    let all = hex("9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13");
    let data = schedule.data(&all);
    assert_eq!(
        data.client,
        hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
    );
    assert_eq!(
        data.server,
        hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643")
    );
}

/// The record in which that trace's client sends the bytes 0 to 49.
#[test]
fn a_record_is_that_of_the_published_trace() {
    let secret = hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
    let text: Vec<u8> = (0..50).collect();
    let record: [u8; 72] = hex(
        "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a\
         2977014bd1e3deae63aeebb21694915e4",
    );
    let sealed = Protection::new(&secret).seal(DATA, &text);
    assert_eq!(sealed, record);
    let (header, body) = record.split_first_chunk().unwrap();
    let mut reads = Protection::new(&secret);
    assert_eq!(reads.open(*header, body.to_vec()), Some((DATA, text)));
    assert_eq!(reads.open(*header, body.to_vec()), None);
}

#[test]
fn mac_is_hmac() {
    // RFC 4231, test case 2, with the key padded by zeros, which does not change it.
    let mut key = [0; 32];
    key[..4].copy_from_slice(b"Jefe");
    assert_eq!(
        mac(&key, &[b"what do ya want ", b"for nothing?"]),
        hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    );
}

/// The server's side.
struct Server {
    transcript: Sha256,
    schedule: Option<Schedule>,
    data: Option<Schedule>,
    writes: Option<Protection>,
    reads: Option<Protection>,
}

fn client() -> Tls {
    Tls::start(&[7; 32], &[9; 32]).unwrap()
}

/// The hello with this version of the field that decides.
fn server_hello(version: [u8; 2], random: [u8; 32], point: &[u8]) -> Vec<u8> {
    let share = [&[0, 0x17], with_length(point).as_slice()].concat();
    let extensions = [&[0, 43, 0, 2], &version[..], &[0, 51], &with_length(&share)];
    let body = [
        &[3, 3],
        &random[..],
        &[0, 0x13, 0x01, 0],
        &with_length(&extensions.concat()),
    ];
    handshake(SERVER_HELLO, &body.concat())
}

impl Server {
    /// Reads the client's hello and answers it.
    fn hello(client: &mut Tls) -> (Self, Vec<u8>) {
        let sent = client.outgoing();
        let hello = &sent[5..];
        // The key share is the last field.
        let theirs = PublicKey::from_sec1_bytes(&hello[hello.len() - hello::POINT..]).unwrap();
        let secret = SecretKey::from_slice(&[3; 32]).unwrap();
        let point = secret.public_key().to_sec1_point(false);
        let answer = server_hello([3, 4], [5; 32], point.as_bytes());
        let mut transcript = Sha256::new_with_prefix(hello);
        transcript.update(&answer);
        let shared = diffie_hellman(secret.to_nonzero_scalar(), theirs.as_affine());
        let schedule = Schedule::handshake(shared.raw_secret_bytes(), &hash(&transcript));
        let server = Self {
            writes: Some(Protection::new(&schedule.server)),
            reads: Some(Protection::new(&schedule.client)),
            transcript,
            schedule: Some(schedule),
            data: None,
        };
        (server, plain_record(HANDSHAKE, &answer))
    }

    fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        self.writes.as_mut().unwrap().seal(kind, content)
    }

    /// The rest of the handshake, in records of at most `size` bytes.
    fn flight(&mut self, asks: bool, size: usize) -> Vec<u8> {
        let mut messages = vec![handshake(ENCRYPTED_EXTENSIONS, &[0, 0])];
        if asks {
            messages.push(handshake(CERTIFICATE_REQUEST, &[0, 0, 0]));
        }
        messages.push(handshake(CERTIFICATE, &[1; 3000]));
        messages.push(handshake(CERTIFICATE_VERIFY, &[2; 70]));
        let mut all = messages.concat();
        self.transcript.update(&all);
        let secret = self.schedule.as_ref().unwrap().server;
        let last = handshake(FINISHED, &finished(&secret, &hash(&self.transcript)));
        self.transcript.update(&last);
        all.extend(last);
        let records = all.chunks(size).map(|part| self.seal(HANDSHAKE, part));
        let records: Vec<Vec<u8>> = records.collect();
        let data = self
            .schedule
            .as_ref()
            .unwrap()
            .data(&hash(&self.transcript));
        self.writes = Some(Protection::new(&data.server));
        self.data = Some(data);
        // Some servers send this for the sake of boxes on the way.
        [plain_record(CHANGE_CIPHER, &[1]), records.concat()].concat()
    }

    /// Reads the client's last messages.
    fn end(&mut self, sent: &[u8], asked: bool) {
        let mut messages = Vec::new();
        let mut rest = Bytes(sent);
        while let Some(header) = rest.array::<5>() {
            let body = rest.take(usize::from(u16::from_be_bytes([header[3], header[4]])));
            let opened = self
                .reads
                .as_mut()
                .unwrap()
                .open(header, body.unwrap().to_vec());
            let (kind, content) = opened.unwrap();
            assert_eq!(kind, HANDSHAKE);
            messages.push(content);
        }
        if asked {
            assert_eq!(messages.remove(0), [11, 0, 0, 4, 0, 0, 0, 0]);
            self.transcript.update([11, 0, 0, 4, 0, 0, 0, 0]);
        }
        let secret = self.schedule.as_ref().unwrap().client;
        let proof = finished(&secret, &hash(&self.transcript));
        assert_eq!(messages, [handshake(FINISHED, &proof)]);
    }
}

/// A connection whose handshake is complete.
fn open(asks: bool, size: usize, pieces: usize) -> (Tls, Server) {
    let mut client = client();
    let (mut server, hello) = Server::hello(&mut client);
    let bytes = [hello, server.flight(asks, size)].concat();
    for piece in bytes.chunks(pieces) {
        assert!(!client.is_open());
        client.feed(piece).unwrap();
    }
    assert!(client.is_open());
    server.end(&client.outgoing(), asks);
    (client, server)
}

fn taken(client: &mut Tls) -> Vec<u8> {
    let mut text = Vec::new();
    let mut piece = [0; 7];
    loop {
        match client.take(&mut piece) {
            0 => return text,
            count => text.extend_from_slice(&piece[..count]),
        }
    }
}

#[test]
fn a_request_and_its_answer_pass_whatever_the_pieces() {
    for (asks, size, pieces) in [
        (false, 16_000, 1),
        (true, 16_000, 5_000),
        (true, 1, 3),
        (false, 100, 64),
    ] {
        let (mut client, mut server) = open(asks, size, pieces);
        let sealed = client.seal(b"GET /");
        let (header, body) = sealed.split_first_chunk().unwrap();
        let mut reads = Protection::new(&server.data.as_ref().unwrap().client);
        assert_eq!(
            reads.open(*header, body.to_vec()),
            Some((DATA, b"GET /".to_vec()))
        );
        // A ticket, data in two records, new keys, more data, the end.
        let mut answer = server.seal(HANDSHAKE, &handshake(4, &[0; 40]));
        answer.extend(server.seal(DATA, b"HTTP/1.1 "));
        answer.extend(server.seal(DATA, b""));
        answer.extend(server.seal(HANDSHAKE, &handshake(KEY_UPDATE, &[0])));
        let secret = updated(&server.data.as_ref().unwrap().server);
        server.writes = Some(Protection::new(&secret));
        answer.extend(server.seal(DATA, b"200 OK\r\n"));
        answer.extend(server.seal(ALERT, &[1, 0]));
        for piece in answer.chunks(pieces) {
            assert!(!client.is_closed());
            client.feed(piece).unwrap();
        }
        assert!(client.is_closed());
        assert_eq!(taken(&mut client), b"HTTP/1.1 200 OK\r\n");
    }
}

#[test]
fn what_is_not_tls_is_shown() {
    let page = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    let told = client().feed(page).unwrap_err();
    assert_eq!(
        told,
        TlsFault::NotTls("HTTP/1.1 400 Bad Request\\r\\nConnec...".to_owned())
    );
    assert_eq!(
        client().feed(b"H").unwrap_err(),
        TlsFault::NotTls("H".to_owned())
    );
    assert_eq!(client().feed(&[22]), Ok(()));
}

#[test]
fn servers_that_agree_to_nothing_are_told_apart() {
    let hello = |hello: &[u8]| client().feed(&plain_record(HANDSHAKE, hello)).unwrap_err();
    let point = [4; 65];
    assert_eq!(
        hello(&server_hello([3, 3], [5; 32], &point)),
        TlsFault::OldVersion
    );
    // As a server of TLS 1.2 answers, without extensions.
    let old = [&[3, 3], &[5; 32][..], &[0, 0xC0, 0x2F, 0]].concat();
    assert_eq!(hello(&handshake(SERVER_HELLO, &old)), TlsFault::OldVersion);
    let retry: [u8; 32] = Sha256::digest("HelloRetryRequest").into();
    assert_eq!(
        hello(&server_hello([3, 4], retry, &[])),
        TlsFault::OtherCurve
    );
    for point in [&point[..], &[4; 64], &[0], &[]] {
        let told = hello(&server_hello([3, 4], [5; 32], point));
        assert_eq!(told, TlsFault::Broken("its key is not on the curve"));
    }
    let told = |number| {
        client()
            .feed(&plain_record(ALERT, &[2, number]))
            .unwrap_err()
    };
    for (number, words) in [
        (
            70,
            "the server did not agree to TLS 1.3 (alert protocol_version)",
        ),
        (40, "the server agreed to nothing that is offered, TLS 1.3"),
        (
            80,
            "alert internal_error; perhaps it has no certificate for the name localhost",
        ),
        (116, "it demands a certificate of the client"),
        (200, "it ended the TLS connection with alert 200"),
    ] {
        assert_eq!(told(number), TlsFault::Alert(number));
        let shown = told(number).to_string();
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn what_breaks_the_rules_ends_the_connection() {
    let broken = |result: Result<(), TlsFault>| match result {
        Err(TlsFault::Broken(what)) => what,
        other => panic!("{other:?}"),
    };
    // One bit of each part of the server's handshake.
    let mut length = 0;
    let flight = |change: Option<usize>| {
        let mut client = client();
        let (mut server, hello) = Server::hello(&mut client);
        client.feed(&hello).unwrap();
        let mut bytes = server.flight(false, 16_000);
        // Behind the record that has no meaning.
        if let Some(at) = change {
            bytes[6 + 5 + at] ^= 1;
        }
        (client.feed(&bytes), bytes.len() - 6 - 5)
    };
    let (fine, all) = flight(None);
    assert_eq!(fine, Ok(()));
    for at in (0..all).step_by(97) {
        assert_eq!(broken(flight(Some(at)).0), "a record cannot be decrypted");
        length += 1;
    }
    assert!(length > 20);
    // Its proof is of another handshake.
    let mut one = client();
    let (mut server, hello) = Server::hello(&mut one);
    one.feed(&hello).unwrap();
    server.transcript.update(b"other");
    assert_eq!(
        broken(one.feed(&server.flight(false, 16_000))),
        "the end of its handshake is wrong"
    );
    // Data before the end of the handshake, and messages behind a change of keys.
    let mut one = client();
    let (mut server, hello) = Server::hello(&mut one);
    one.feed(&hello).unwrap();
    assert_eq!(
        broken(one.feed(&server.seal(DATA, b"early"))),
        "a record at the wrong time"
    );
    let mut one = client();
    let (_, hello) = Server::hello(&mut one);
    let twice = [&hello[5..], &[ENCRYPTED_EXTENSIONS, 0, 0, 0]].concat();
    assert_eq!(
        broken(one.feed(&plain_record(HANDSHAKE, &twice))),
        "a message at the wrong time"
    );
    assert_eq!(
        broken(client().feed(&[22, 3, 3, 0xFF, 0xFF])),
        "a record is too long"
    );
    assert_eq!(
        client().feed(&plain_record(ALERT, &[1, 0])),
        Err(TlsFault::Closed)
    );
}

#[test]
fn what_never_ends_is_ended() {
    // A message that is announced as 16 MiB long, and data without end.
    let mut one = client();
    let mut record = plain_record(HANDSHAKE, &[SERVER_HELLO, 0xFF, 0xFF, 0xFF]);
    let mut fed = 0;
    let told = loop {
        if let Err(fault) = one.feed(&record) {
            break fault;
        }
        fed += record.len();
        record = plain_record(HANDSHAKE, &[0; 1000]);
        assert!(fed <= MOST_BYTES);
    };
    assert_eq!(told, TlsFault::TooLong);
    let (mut one, mut server) = open(false, 16_000, 5_000);
    let told = loop {
        if let Err(fault) = one.feed(&server.seal(DATA, b"")) {
            break fault;
        }
    };
    assert_eq!(told, TlsFault::TooLong);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_is_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        kind in CHANGE_CIPHER..=DATA,
        message in 0_u8..30,
    ) {
        let as_record = plain_record(kind, &bytes);
        let as_message = plain_record(HANDSHAKE, &handshake(message, &bytes));
        for bytes in [&bytes, &as_record, &as_message] {
            let _ = client().feed(bytes);
        }
        // With the keys of the handshake, and with those of the data.
        let mut one = client();
        let (mut server, hello) = Server::hello(&mut one);
        one.feed(&hello).unwrap();
        let _ = one.feed(&server.seal(kind, &bytes));
        let (mut one, mut server) = open(false, 16_000, 16_000);
        let _ = one.feed(&server.seal(kind, &bytes));
        let _ = one.feed(&server.seal(HANDSHAKE, &handshake(message, &bytes)));
    }
}
