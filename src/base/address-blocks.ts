/** Blocks of addresses that are not just any, as text: each part of banger has its own way to look into them. */

/**
 * Where clouds tell a computer its own secrets, and whatever else answers on one wire only. (What is link-local in
 * IPv6 is never routed.)
 */
export const METADATA_BLOCKS: readonly string[] = [
  // All of link-local: AWS, Google, Azure, OpenStack, DigitalOcean, Hetzner and Kubernetes have theirs here.
  "169.254.0.0/16",
  // Azure's host agent, Alibaba, Oracle; AWS and Google over IPv6.
  ...["168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"],
  ...["fd00:ec2::/32", "fd20:ce::/32"],
];
