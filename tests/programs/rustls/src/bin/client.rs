// SPDX-License-Identifier: Apache-2.0
//! client PORT CA N PREFIX: N requests for PREFIX0, PREFIX1, … on one connection to localhost, over TLS by
//! rustls. Every answer is to repeat its path; exit status 1 where one does not.
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut BufReader::new(File::open(&args[2]).unwrap())) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", args[1].parse().unwrap())).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    for i in 0..args[3].parse::<usize>().unwrap() {
        let path = format!("{}{}", args[4], i);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        reader.get_mut().write_all(request.as_bytes()).unwrap();
        reader.get_mut().flush().unwrap();
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).unwrap();
            if field.trim().is_empty() {
                break;
            }
            if let Some(value) = field.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        if body != path.as_bytes() {
            eprintln!("asked for {path}, got {}", String::from_utf8_lossy(&body));
            std::process::exit(1);
        }
    }
}
