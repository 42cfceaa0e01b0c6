// SPDX-License-Identifier: Apache-2.0
//! server PORT LOG CERTIFICATE KEY: HTTP/1.1 over TLS by rustls, a thread a connection, keep-alive. Every
//! GET is answered with 200 and the path as body; one line a request goes into LOG.
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn serve(stream: TcpStream, config: Arc<ServerConfig>, log: Arc<Mutex<File>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or("/").to_string();
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field)?;
            if field.trim().is_empty() {
                break;
            }
            if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        writeln!(log.lock().unwrap(), "{}", line.trim())?;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{}", path.len(), path);
        reader.get_mut().write_all(answer.as_bytes())?;
        reader.get_mut().flush()?;
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let certificates = rustls_pemfile::certs(&mut BufReader::new(File::open(&args[3]).unwrap()))
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = rustls_pemfile::private_key(&mut BufReader::new(File::open(&args[4]).unwrap())).unwrap().unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap();
    let config = Arc::new(config);
    let log = OpenOptions::new().create(true).append(true).open(&args[2]).unwrap();
    let log = Arc::new(Mutex::new(log));
    let listener = TcpListener::bind(("127.0.0.1", args[1].parse().unwrap())).unwrap();
    for stream in listener.incoming().flatten() {
        let (config, log) = (config.clone(), log.clone());
        std::thread::spawn(move || serve(stream, config, log));
    }
}
