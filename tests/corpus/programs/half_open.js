// A server whose sockets may be half open, and that forgets socket.end() when the other half ends.
'use strict';
const net = require('net');

const faulty = process.argv[2] === 'faulty';
const server = net.createServer({ allowHalfOpen: faulty }, (socket) => {
  socket.on('data', () => {});
  socket.on('end', () => {});
});
server.listen(8000);
