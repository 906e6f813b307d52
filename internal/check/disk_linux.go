package check

import "golang.org/x/sys/unix"

// remoteFS returns the name of a directory's file system if that is a network file system.
func remoteFS(dir string) (string, bool) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "", false
	}
	names := map[int64]string{
		unix.NFS_SUPER_MAGIC: "nfs", unix.SMB_SUPER_MAGIC: "smb", unix.SMB2_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "cifs",
		unix.AFS_SUPER_MAGIC: "afs", unix.CEPH_SUPER_MAGIC: "cephfs", unix.V9FS_MAGIC: "9p",
	}
	name, ok := names[int64(st.Type)]
	return name, ok
}
