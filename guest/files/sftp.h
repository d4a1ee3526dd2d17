/*
 * The program `sftp`: an SFTP server for images that have none. Version 3 (draft-ietf-secsh-filexfer-02) on stdin and
 * stdout, with OpenSSH's posix-rename, hardlink, fsync, statvfs and limits (PROTOCOL, section 4). Runs as the user who
 * logged in, so the kernel enforces permissions.
 */
#ifndef BANGER_SFTP_H
#define BANGER_SFTP_H

int sftp_serve(char **arguments);

#endif
