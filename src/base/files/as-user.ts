/** What root does with a user's files is done with that user's rights, so that no link leads to another's. */

export interface UserIds {
  user_uid: number;
  user_gid: number;
}

/** `work` must be synchronous: the ids are those of the whole process. For whoever is not root nothing changes. */
export function asUser<T>({ user_uid, user_gid }: UserIds, work: () => T): T {
  const { geteuid, getegid, getgroups, seteuid, setegid, setgroups } = process;
  if (geteuid?.() !== 0 || user_uid === 0 || !getegid || !getgroups) return work();
  if (!seteuid || !setegid || !setgroups) throw new Error("user IDs are not available");
  const [gid, groups] = [getegid(), getgroups()];
  try {
    setgroups([user_gid]);
    setegid(user_gid);
    seteuid(user_uid);
    return work();
  } finally {
    seteuid(0);
    setegid(gid);
    setgroups(groups);
  }
}
