// What travels between the page and the server: Discord's own shapes, as far as the page reads them.

export interface User { id: string; username: string; global_name?: string | null; bot?: boolean; }

export interface Channel { id: string; type: number; name?: string; topic?: string | null; guild_id?: string; recipients?: User[]; permissions?: string; position?: number; parent_id?: string | null;
  owner_id?: string; thread_metadata?: { archived: boolean; locked: boolean }; member?: { user_id: string }; }

export interface Role { id: string; name: string; }

export interface Attachment {
  id: string; filename: string; url: string; size: number; content_type?: string; description?: string | null; width?: number | null; height?: number | null;
}

export interface Emoji { id: string | null; name: string; }

export interface Reaction { emoji: Emoji; count: number; me: boolean; }

export interface Choice { name: string; value: string | number; }

export interface Media { url: string; width?: number | null; height?: number | null; content_type?: string | null; }

/** A component of any type; which fields it has depends on `type`. */
export interface Component {
  type: number; id?: number; custom_id?: string; components?: Component[]; component?: Component; accessory?: Component; content?: string; style?: number; label?: string;
  emoji?: Emoji; url?: string; disabled?: boolean; accent_color?: number | null; spoiler?: boolean; divider?: boolean; spacing?: number; media?: Media; file?: Media; name?: string;
  size?: number; description?: string | null; items?: { media: Media; description?: string | null; spoiler?: boolean }[]; options?: SelectOption[]; placeholder?: string | null;
  min_values?: number | null; max_values?: number | null; min_length?: number | null; max_length?: number | null; required?: boolean | null; value?: string | null;
  default?: boolean | null; default_values?: { id: string; type: string }[]; channel_types?: number[];
}

export interface SelectOption { label: string; value: string; description?: string | null; emoji?: Emoji; default?: boolean | null; }

export interface Embed {
  title?: string; description?: string; url?: string; color?: number; timestamp?: string; footer?: { text: string }; author?: { name: string; url?: string };
  image?: Media; thumbnail?: Media; video?: Media; fields?: { name: string; value: string; inline?: boolean }[];
}

export interface Message {
  id: string; channel_id: string; author: User; content: string; timestamp: string; edited_timestamp: string | null; type: number; flags: number; attachments: Attachment[];
  embeds: Embed[]; components: Component[]; reactions: Reaction[]; mentions?: User[]; message_reference?: { type?: number; message_id: string; channel_id: string } | null;
  message_snapshots?: { message: Partial<Message> }[];
  referenced_message?: Message | null; interaction_metadata?: { id: string; type: number; user: User; name?: string } | null; nonce?: string;
}

export interface Option {
  type: number; name: string; description: string; required?: boolean; choices?: Choice[]; autocomplete?: boolean; options?: Option[]; min_value?: number; max_value?: number;
  min_length?: number; max_length?: number; channel_types?: number[];
}

export interface Command { id: string; type: number; name: string; description: string; options?: Option[]; }

/** A command that can be run: subcommands stand on their own, with the way to them in `path`. */
export interface Runnable { command: Command; path: Option[]; name: string; description: string; options: Option[]; }

export interface Modal { id: string; custom_id: string; title: string; components: Component[]; }

/** What somebody has done and the bot has not answered yet. */
export interface Pending { id: string; channelId: string; title: string; failed: boolean; target?: string; }

export interface Entered { me: User; people: User[]; bot: User; guild: { id: string; name: string; roles?: Role[] }; channels: Channel[]; upload_limit: number; online: boolean; }
