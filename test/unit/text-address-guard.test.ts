import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPublicAddress } from '../../worker/text/source/address-guard.ts';

test('only global unicast addresses are public', () => {
  const ours = [
    ...['127.0.0.1', '127.8.8.8', '0.0.0.0', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
    // The metadata services of clouds, shared addresses, benchmarks, documentation, multicast, reserved.
    ...[
      '169.254.169.254',
      '169.254.170.2',
      '100.64.0.1',
      '100.100.100.200',
      '198.18.0.1',
      '192.0.2.1',
      '224.0.0.1',
      '240.0.0.1',
      '255.255.255.255',
    ],
    ...['::', '::1', 'fe80::1', 'fc00::1', 'fd00:ec2::254', 'ff02::1', '2001:db8::1', '4000::1', 'fec0::1'],
    // IPv4 in other clothes.
    ...[
      '::ffff:127.0.0.1',
      '::ffff:8.8.8.8',
      '::127.0.0.1',
      '64:ff9b::7f00:1',
      '64:ff9b:1::a00:1',
      '2002:7f00:1::',
      '2001:0:7f00:1::',
    ],
    ...['', 'localhost', '127.1.', '8.8.8.8/8', 'example.com'],
  ];
  for (const address of ours) assert.equal(isPublicAddress(address), false, address);
  for (const address of [
    '8.8.8.8',
    '1.1.1.1',
    '172.32.0.1',
    '100.128.0.1',
    '93.184.216.34',
    '2606:4700:4700::1111',
    '2a00:1450:4001:81b::200e',
  ]) {
    assert.equal(isPublicAddress(address), true, address);
  }
});
