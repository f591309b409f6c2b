import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPublicAddress, parsePublicUrl, RequestFailed } from '@longhaul/core/net';

const forbidden = (message: RegExp) => (error: unknown) =>
  error instanceof RequestFailed && error.fault === 'forbidden' && message.test(error.message);

test('only global unicast addresses are public', () => {
  const ours = {
    loopback: ['127.0.0.1', '127.8.8.8', '0.0.0.0', '::', '::1'],
    private: ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fec0::1'],
    linkLocal: ['169.254.0.1', 'fe80::1'],
    metadata: [
      ...['169.254.169.254', '169.254.170.2', 'fd00:ec2::254', 'fe80::a9fe:a9fe'],
      ...['100.100.100.200', '192.0.0.192', '168.63.129.16'],
    ],
    carrier: ['100.64.0.1', '100.127.255.255'],
    multicast: ['224.0.0.1', '239.255.255.250', 'ff02::1'],
    reserved: ['198.18.0.1', '192.0.2.1', '198.51.100.1', '203.0.113.1', '192.88.99.1', '240.0.0.1', '255.255.255.255'],
    reserved6: ['2001:db8::1', '3fff::1', '4000::1', '100::1', '5f00::1', '2001:2::1', '2001:20::1'],
    mapped: ['::ffff:127.0.0.1', '::ffff:8.8.8.8', '::127.0.0.1', '::ffff:a9fe:a9fe'],
    translated: ['64:ff9b::7f00:1', '64:ff9b::a9fe:a9fe', '64:ff9b:1::a00:1', '2002:7f00:1::', '2002:a9fe:a9fe::1'],
    teredo: ['2001:0:7f00:1::'],
    writtenOtherwise: ['2130706433', '0177.0.0.1', '0x7f.1', '127.1'],
    noAddress: ['', 'localhost', '127.1.', '8.8.8.8/8', 'example.com'],
  };
  for (const [kind, addresses] of Object.entries(ours)) {
    for (const address of addresses) assert.equal(isPublicAddress(address), false, `${kind}: ${address}`);
  }
  for (const address of [
    ...['8.8.8.8', '1.1.1.1', '172.32.0.1', '100.128.0.1', '93.184.216.34', '168.63.129.17'],
    ...['2606:4700:4700::1111', '2a00:1450:4001:81b::200e'],
  ]) {
    assert.equal(isPublicAddress(address), true, address);
  }
});

test('an address in a URL is refused however it is written, with what it is', () => {
  for (const host of [
    ...['127.0.0.1', '127.0.0.1.', '127.1', '0x7f.1', '0177.0.0.1', '2130706433', '0x7f000001', '017700000001'],
    ...['127.0.0.1%2e', '①②⑦.0.0.1', '127。0。0。1'],
  ]) {
    assert.throws(() => parsePublicUrl(`https://${host}/`), forbidden(/127\.0\.0\.1 is not a public address/), host);
  }
  const others: [string, RegExp][] = [
    ['169.254.169.254', /^169\.254\.169\.254 is not a public address \(linkLocal\)$/],
    ['0xa9fea9fe', /169\.254\.169\.254 is not a public address \(linkLocal\)/],
    ['168.63.129.16', /168\.63\.129\.16 is not a public address \(service of the host\)/],
    ['100.64.0.1', /carrierGradeNat/],
    ['224.0.0.1', /multicast/],
    ['[::1]', /^::1 is not a public address \(loopback\)$/],
    ['[fd00:ec2::254]', /uniqueLocal/],
    ['[::ffff:10.0.0.1]', /ipv4Mapped/],
    ['[64:ff9b::a00:1]', /rfc6052/],
    ['[2002:a00:1::]', /6to4/],
  ];
  for (const [host, message] of others)
    assert.throws(() => parsePublicUrl(`https://${host}/`), forbidden(message), host);
});

test('only https is asked, without a password, and no privileged port but those allowed', () => {
  const wrong: [string, RegExp][] = [
    ['no url', /^not a URL$/],
    ['https://999.1.1.1/', /^not a URL$/],
    ['https://[fe80::1%25eth0]/', /^not a URL$/],
    ['http://example.com/x', /^http:\/\/example\.com: only https is asked$/],
    ['file:///etc/passwd', /only https/],
    ['gopher://example.com/', /only https/],
    ['https://user@example.com/', /a URL of example\.com with a user name or password in it/],
    ['https://example.com:22/', /^port 22 of example\.com: below 1024, only 443 is asked$/],
    ['https://example.com:80/', /port 80/],
    ['https://example.com:0/', /port 0/],
  ];
  for (const [url, message] of wrong) assert.throws(() => parsePublicUrl(url), forbidden(message), url);
  assert.throws(
    () => parsePublicUrl('https://me:secret@example.com/'),
    (error) => forbidden(/user name or password/)(error) && !String(error).includes('secret'),
  );
  for (const url of [
    'https://example.com/',
    'https://example.com:443/',
    'https://example.com:8443/',
    'https://1.1.1.1',
  ]) {
    assert.equal(parsePublicUrl(url).href, new URL(url).href);
  }
  assert.equal(parsePublicUrl('https://example.com:80/', { allowPorts: [80, 443] }).port, '80');
});

test('a host that was allowed by name may have any address and port; nothing that looks like it may', () => {
  const rules = { allowHosts: ['127.0.0.1', '::1', 'intranet'] };
  for (const url of ['https://127.0.0.1:22/', 'https://2130706433/', 'https://[::1]/', 'https://INTRANET/']) {
    assert.doesNotThrow(() => parsePublicUrl(url, rules), url);
  }
  assert.throws(() => parsePublicUrl('https://127.0.0.2/', rules), forbidden(/loopback/));
  assert.throws(() => parsePublicUrl('https://[::ffff:127.0.0.1]/', rules), forbidden(/ipv4Mapped/));
  assert.throws(() => parsePublicUrl('https://intranet.:22/', rules), forbidden(/port 22/));
});
