/* The text of serve --help. What is told of actions comes from their rows. */
#include <stdio.h>

#include "serve.h"

const char cli_serve_help[] =
    "usage: multiserver serve [OPTIONS] ACTION ADDRESS...\n"
    "\n"
    "Listens on every ADDRESS and prints, once they are up, one line: all of them as this\n"
    "machine can dial them, joined by ';'. One that fails is an error line, the others go\n"
    "on. Interrupt it to let it say goodbye to everybody (what the actions but --chat\n"
    "carry has 5 seconds to end by itself, and is cut then: no part of it passes for the\n"
    "whole); once more to cut. SIGUSR1 asks for all counters: a line on standard error.\n"
    "\n"
    "addresses:\n"
    "  net:127.0.0.1:8008~shs   TCP, encrypted, peers known by their keys\n"
    "  net::0~shs               loopback of both families, any free port\n"
    "  net::::8008~shs          every interface (the host is ::)\n"
    "  unix:/run/x/socket~noauth  a socket where only you and root are let in\n"
    "  unix:@x~noauth           the same without a file: an abstract socket\n"
    "  unix:/run/x/socket~ws~shs  WebSocket there, for nginx or haproxy in front\n"
    "\n"
    "actions, one of:\n";

static const char peers[] =
    "who may enter, where a stack authenticates:\n"
    "  --allow KEY           this public key; may be repeated\n"
    "  --allow-file FILE     the keys in FILE, one a line, comments after #; read again on\n"
    "                        SIGHUP. Whose key is gone then is put out; a file that has an\n"
    "                        error, or no key, changes nothing\n"
    "  --no-evict            who is in stays in when its key is gone\n"
    "  --allow-any           every key; without any of these only our own\n"
    "  --origin ORIGIN       let pages of this origin open WebSockets, https://app.example or\n"
    "                        http://localhost:3000 (repeatable; default: every page where\n"
    "                        the stack authenticates, else pages of this machine's own\n"
    "                        addresses)\n"
    "  --http-root DIR       answer browsers that ask a WebSocket's port for a page from this\n"
    "                        folder (what is in front may ask for /healthz always: 200)\n"
    "  --tls-cert FILE       the certificate for wss and tls (PEM), its chain behind it, each\n"
    "                        followed by its issuer's; read again on SIGHUP\n"
    "  --tls-key FILE        its private key (default: in the same file), which nobody else may\n"
    "                        open (chmod 600, or root's for a group: 640)\n"
    "  --tls-ca FILE         with --forward: trust these certificates, not the system's\n"
    "  --tls-insecure        with --forward: trust any certificate\n"
    "  --trusted-proxy CIDR=HOW\n"
    "                        believe what stands in front at this address or network about\n"
    "                        where peers are; HOW it tells is proxy (a PROXY header, version\n"
    "                        1 or 2, begins each connection; CIDR alone, without WebSocket,\n"
    "                        is the same), x-forwarded-for or forwarded (that field is in\n"
    "                        each request for a WebSocket); unix=HOW believes whoever may\n"
    "                        connect to a unix socket; may be repeated\n"
    "  --insecure-noauth     where nothing authenticates, and for metrics: listen off this\n"
    "                        machine, and let other users in at unix sockets\n"
    "\n";

static const char addresses[] =
    "addresses, as peers are told them:\n"
    "  --scope SCOPE         from where the stacks can be reached: device, local or public;\n"
    "                        may be repeated (default: what each address itself is)\n"
    "  --external HOST|SECTION\n"
    "                        what public peers use: a name for this machine, or where\n"
    "                        something stands in front, as net:pub.example:443 (of a unix\n"
    "                        socket with ~ws: wss://pub.example/path); may be repeated: each\n"
    "                        gives an address; a host is for net, ws and wss where they have\n"
    "                        no section\n"
    "  --print-addresses SCOPE\n"
    "                        print those of this scope (default: device, or the widest of\n"
    "                        --scope where device is not among them)\n"
    "\n";

static const char options[] =
    "options:\n"
    "  --key FILE            who we are, which nobody else may open (default:\n"
    "                        $XDG_CONFIG_HOME/multiserver/secret, made on first use)\n"
    "  --network-key BASE64  the network (default: Scuttlebutt's main network)\n"
    "  --limit NAME=NUMBER   how much peers may take (none: no limit; may be repeated):\n"
    "                        connections (default 4096), handshakes (1024), per-address and\n"
    "                        per-second, both of one IPv4 address or IPv6 /56 (64, 32),\n"
    "                        pages-per-address and pages-per-second, the same of who asks for\n"
    "                        pages (128, 256), idle-msec (none), buffered and\n"
    "                        buffered-each, bytes of all connections and of one (268435456,\n"
    "                        417792: also the most)\n"
    "  --json                events on standard output, one JSON object a line: listening,\n"
    "                        addresses, connection, closed, error, lost (so many events\n"
    "                        that nobody read in time, or that could not be written: peers\n"
    "                        are served all the same); each with event, time and id; closed\n"
    "                        with reason and message, the status or signal of a command, the\n"
    "                        cause of a bridge; on SIGUSR1 an event stats with all counters;\n"
    "                        multiserver(1) has all fields and reasons\n"
    "  -v, --verbose         tell on standard error who enters and leaves, as --log info does\n"
    "  -q, --quiet           tell of no peer, as --log error does\n"
    "  --log LEVEL           error, warn (default: also who is refused or fails, who is turned\n"
    "                        away), info, debug (also each step of the dials of --forward)\n"
    "  --accept-timeout MSEC what a peer has to come in, from its first byte to the end of its\n"
    "                        handshake (default 5000)\n";

static const char more_options[] =
    "  --reuse-port          share the port with other processes that say so too: the system\n"
    "                        spreads peers over them, a process to a core\n"
    "  --unix-mode MODE      the mode of the unix sockets that serve makes, in octal (default:\n"
    "                        0600, or 0660 with --unix-group); to connect is to write. Where\n"
    "                        nothing authenticates, it lets the socket's group in, and\n"
    "                        everybody only with --insecure-noauth. Sockets of systemd keep\n"
    "                        theirs\n"
    "  --unix-group GROUP    the group of these sockets, by its name or number\n"
    "  --metrics ADDRESS     serve the counters to Prometheus, at net:HOST:PORT or unix:PATH\n"
    "\n"
    "An option that no ADDRESS can use, as --allow where none has ~shs, is an error: it may\n"
    "be a section that is missing. So is a --forward address that no stack understands.\n"
    "\n"
    "examples:\n"
    "  multiserver serve --chat --allow-any net::8008~shs unix:/tmp/chat~noauth\n"
    "  multiserver serve --stdio --allow KEY net::::8008~shs > received\n"
    "  multiserver serve --echo --allow-any --tls-cert pub.pem wss://0.0.0.0:443~shs\n"
    "  multiserver serve --exec 'cat motd' --allow-file friends net::::8008~shs\n"
    "  multiserver serve --echo --allow-any --trusted-proxy 127.0.0.1=x-forwarded-for \\\n"
    "    --external wss://pub.example/path ws://127.0.0.1:8989~shs\n"
    "  multiserver serve --echo --allow-any --trusted-proxy unix=x-forwarded-for \\\n"
    "    --unix-group www-data --external wss://pub.example/path unix:/run/x/socket~ws~shs\n"
    "  multiserver serve --forward unix:/run/app/socket~noauth --allow KEY net::0~shs\n"
    "  multiserver serve --forward 'wss://pub.example~shs:KEY' net:127.0.0.1:5000~noauth\n"
    "  multiserver serve --echo --external pub.example --print-addresses public \\\n"
    "    --allow-any net::::8008~shs\n";

/* C knows no string of more than 4,095 characters. */
void cli_serve_more(void) {
  cli_actions_help();
  (void)printf("\n%s%s", peers, addresses);
  cli_actions_options_help(true);
  (void)fputs(options, stdout);
  cli_actions_options_help(false);
  (void)fputs(more_options, stdout);
}
