-- Where the mail of an address lies: the folder that the primary gave it (`folder_of` in the
-- services' storage/maildir.py): whatever is no letter, digit or one of _.-~@+ stands as %XX.

local root = "/var/lib/mxlab/mailboxes/"

function auth_userdb_lookup(request)
  local folder = request.user:gsub("[^%w_.~@+-]", function(byte)
    return string.format("%%%02X", byte:byte())
  end)
  folder = folder:gsub("^%.", "%%2E")
  return dovecot.auth.USERDB_RESULT_OK, "uid=2525 gid=2525 home=" .. root .. folder
end
