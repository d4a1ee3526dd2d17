/*
 * The SFTP server that the images need not have: version 3 of the protocol
 * (draft-ietf-secsh-filexfer-02) on stdin and stdout, with OpenSSH's posix-rename, hardlink, fsync,
 * statvfs and limits (PROTOCOL, section 4). It runs as the user who has logged in: what that user may
 * not do, the kernel refuses.
 */
#ifndef BANGER_SFTP_H
#define BANGER_SFTP_H

int sftp_serve(char **arguments);

#endif
