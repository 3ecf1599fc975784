// A message centre of the npm package `smpp`: events as JSON lines on standard output, orders on standard input.
//   node centre.js [key.pem cert.pem]
'use strict';
const fs = require('fs');
const readline = require('readline');
const smpp = require('smpp');

const [key, cert] = process.argv.slice(2);
const options = key ? { key: fs.readFileSync(key), cert: fs.readFileSync(cert) } : {};
const sessions = [];
const tell = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n');
let ids = 1000;

const server = smpp.createServer(options, (session) => {
  session.on('error', (error) => tell('error', { reason: String(error) }));
  session.on('close', () => tell('close', { mode: session.mode }));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => { tell('unbind', { mode: session.mode }); session.send(pdu.response()); });
  for (const mode of ['transmitter', 'receiver', 'transceiver']) {
    session.on('bind_' + mode, (pdu) => {
      session.mode = mode;
      sessions.push(session);
      const { system_id, password, system_type, interface_version, address_range } = pdu;
      const command_status = password === 'secret' ? smpp.ESME_ROK : smpp.ESME_RINVPASWD;
      session.send(pdu.response({ system_id: 'node', command_status }));
      tell('bind', { mode, system_id, system_type, interface_version, address_range, command_status });
    });
  }
  session.on('submit_sm', (pdu) => {
    const message_id = (ids++).toString(16).toUpperCase();
    session.send(pdu.response({ message_id }));
    tell('submit', {
      source: pdu.source_addr, destination: pdu.destination_addr, esm_class: pdu.esm_class,
      data_coding: pdu.data_coding, registered_delivery: pdu.registered_delivery,
      text: pdu.short_message.message, udh: (pdu.short_message.udh || []).map((each) => each.toString('hex')),
    });
    if (pdu.registered_delivery) {
      receiver().deliver_sm({
        esm_class: 4, source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, data_coding: 0,
        receipted_message_id: message_id, message_state: 2,
        short_message: `id:${message_id} sub:001 dlvrd:001 submit date:2611200800 done date:2611200801 ` +
          'stat:DELIVRD err:000 text:',
      }, (answer) => tell('receipted', { status: answer.command_status }));
    }
  });
});

const receiver = () => sessions.filter((each) => each.mode !== 'transmitter' && !each.socket.destroyed).pop();
const orders = {
  deliver: ({ udh, text, ...fields }) => receiver().deliver_sm(
    { ...fields, short_message: udh ? { udh: Buffer.from(udh, 'hex'), message: text } : text },
    (answer) => tell('answered', { status: answer.command_status, command: answer.command }),
  ),
  data: (fields) => receiver().data_sm(
    fields, (answer) => tell('answered', { status: answer.command_status, command: answer.command }),
  ),
  enquire: () => receiver().enquire_link({}, (answer) => tell('answered', { status: answer.command_status })),
  unbind: () => receiver().unbind({}, (answer) => tell('answered', { status: answer.command_status })),
  query: () => receiver().query_sm({ message_id: '1' }, (answer) =>
    tell('answered', { status: answer.command_status, command: answer.command })),
};

readline.createInterface({ input: process.stdin })
  .on('line', (line) => { const { order, ...fields } = JSON.parse(line); orders[order](fields); })
  .on('close', () => process.exit(0));
server.listen(0, '127.0.0.1', () => tell('listening', { port: server.address().port }));
